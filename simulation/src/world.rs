//! Virtual time, processes that die, and everything there is.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use inventory::domain::book::Book;
use orders::domain::saga::Rules;
use shared_types::Timestamp;
use uuid::Uuid;

use crate::events::{Group, Source, Stream};
use crate::money::Till;
use crate::network::{Call, Reply};
use crate::orders::Row;
use crate::promises;
use crate::rng::Rng;
use crate::sabotage::Sabotage;
use crate::scenario::{HOUR, Operation, SECOND, Scenario};
use crate::worker::{Task, TaskId};

/// An order, by its place in the scenario.
pub type No = usize;

/// An instance of `orders`, and which of its lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    pub instance: usize,
    pub life: u32,
}

/// What happens at some time.
#[derive(Clone, Debug)]
pub enum Happening {
    Arrives {
        no: No,
        nth: u32,
    },
    Pays {
        no: No,
        card: usize,
        tries: u32,
    },
    Cancels {
        no: No,
        staff: bool,
    },
    Operates {
        no: No,
        what: Operation,
    },
    /// Somebody looks whether the order is due.
    Poll {
        no: No,
        round: u64,
    },
    Wake {
        process: Process,
        no: No,
    },
    Deliver {
        call: Call,
        no: No,
        answer_to: Option<(TaskId, u32)>,
    },
    Answer {
        task: TaskId,
        seq: u32,
        reply: Reply,
    },
    Apply {
        task: TaskId,
    },
    Publish {
        source: Source,
        no: No,
    },
    Consume {
        group: Group,
        source: Source,
        no: No,
    },
    Expire,
    Serve,
    Receipt {
        last: bool,
    },
    Send {
        job: Uuid,
    },
    Takes {
        job: Uuid,
    },
    Ask {
        job: Uuid,
    },
    Impatient {
        job: Uuid,
    },
    Restart {
        instance: usize,
    },
}

/// An instance of `orders`.
#[derive(Clone, Debug)]
pub struct Instance {
    pub life: u32,
    pub alive: bool,
    pub skew_ms: i64,
}

/// All there is, at one moment.
pub struct World {
    pub scenario: Scenario,
    pub sabotage: Option<Sabotage>,
    /// Milliseconds since the beginning.
    pub now: i64,
    queue: BTreeMap<(i64, u64), Happening>,
    queued: u64,
    dice: Vec<Rng>,
    ids: u128,
    pub rules: Rules,
    pub instances: Vec<Instance>,
    pub rows: BTreeMap<No, Row>,
    pub tasks: BTreeMap<TaskId, Task>,
    pub task_ids: TaskId,
    /// Orders under way in a process, and whether they were touched meanwhile.
    pub running: BTreeMap<(Process, No), bool>,
    pub book: Book,
    pub stock_skews: [i64; 2],
    pub serving: bool,
    pub till: Till,
    pub streams: BTreeMap<(Source, No), Stream>,
    pub cursors: BTreeMap<(Group, Source, No), usize>,
    pub inbox: BTreeSet<(Group, Source, No, u64)>,
    /// What a read model counts: versions of an order's events, as handled.
    pub summaries: BTreeMap<No, Vec<(u64, &'static str)>>,
    pub broken: Option<String>,
    pub commits: u64,
    trace: Option<String>,
}

/// No run needs so many.
const MOST_HAPPENINGS: u64 = 200_000;
const EPOCH_MS: i64 = 1_795_000_000_000;

/// The instant that is `ms` after the beginning.
pub fn at(ms: i64) -> Timestamp {
    // Out of range only after a million years of simulated time.
    Timestamp::from_unix_millis(EPOCH_MS + ms).expect("a time within the calendar")
}

/// The reverse of [`at`].
pub fn ms_of(timestamp: Timestamp) -> i64 {
    timestamp.unix_millis() - EPOCH_MS
}

pub fn id_of(no: No) -> Uuid {
    Uuid::from_u128(1 + no as u128)
}

pub fn no_of(id: Uuid) -> No {
    (id.as_u128() as usize).saturating_sub(1)
}

/// Writes a line of the trace, when there is one.
macro_rules! note {
    ($world:expr, $no:expr, $($text:tt)+) => {
        if $world.traces() {
            let line = format!($($text)+);
            $world.write_down($no, &line);
        }
    };
}
pub(crate) use note;

impl World {
    pub fn new(scenario: &Scenario, sabotage: Option<Sabotage>, traced: bool) -> Self {
        let mut chance = Rng::of(scenario.seed, 2);
        let skew = scenario.weather.skew_ms;
        let instance = |rng: &mut Rng| {
            let skew_ms = rng.range(-skew, skew);
            Instance { life: 1, alive: true, skew_ms }
        };
        let mut world = World {
            scenario: scenario.clone(),
            sabotage,
            now: 0,
            queue: BTreeMap::new(),
            queued: 0,
            // The last one is the world's own.
            dice: (0..=scenario.buyers.len())
                .map(|n| Rng::of(scenario.seed, 10 + n as u64))
                .collect(),
            ids: 1 << 64,
            rules: rules(),
            instances: (0..scenario.instances).map(|_| instance(&mut chance)).collect(),
            rows: BTreeMap::new(),
            tasks: BTreeMap::new(),
            task_ids: 0,
            running: BTreeMap::new(),
            book: crate::stock::book(&scenario.goods),
            stock_skews: [chance.range(-skew, skew), chance.range(-skew, skew)],
            serving: false,
            till: Till::default(),
            streams: BTreeMap::new(),
            cursors: BTreeMap::new(),
            inbox: BTreeSet::new(),
            summaries: BTreeMap::new(),
            broken: None,
            commits: 0,
            trace: traced.then(String::new),
        };
        for (no, buyer) in scenario.buyers.iter().enumerate() {
            if let Some(buyer) = buyer {
                world.later(buyer.comes_at, Happening::Arrives { no, nth: 0 });
            }
        }
        for hour in 1..=3 {
            world.later(hour * HOUR, Happening::Receipt { last: hour == 3 });
        }
        world
    }

    /// Lives until nothing is left to happen, or a promise is broken.
    pub fn run(&mut self) {
        for _ in 0..MOST_HAPPENINGS {
            let Some(((when, _), happening)) = self.queue.pop_first() else {
                promises::at_the_end(self);
                return;
            };
            self.now = when;
            self.happen(happening);
            if self.broken.is_some() {
                return;
            }
        }
        let awake: Vec<No> = self.rows.keys().copied().collect();
        self.breaks(format!("it never comes to rest; orders {awake:?}"));
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Arrives { no, nth } => self.arrives(no, nth),
            Happening::Pays { no, card, tries } => self.pays(no, card, tries),
            Happening::Cancels { no, staff } => self.cancels(no, staff),
            Happening::Operates { no, what } => self.operates(no, what),
            Happening::Poll { no, round } => self.polls(no, round),
            Happening::Wake { process, no } => self.wakes(process, no),
            Happening::Deliver { call, no, answer_to } => self.delivers(call, no, answer_to),
            Happening::Answer { task, seq, reply } => self.answers(task, seq, reply),
            Happening::Apply { task } => self.applies(task),
            Happening::Publish { source, no } => self.publishes(source, no),
            Happening::Consume { group, source, no } => self.consumes(group, source, no),
            Happening::Expire => self.expires(),
            Happening::Serve => self.serves(),
            Happening::Receipt { last } => self.receives(last),
            Happening::Send { job } => self.sends(job),
            Happening::Takes { job } => self.takes(job),
            Happening::Ask { job } => self.asks(job),
            Happening::Impatient { job } => self.is_impatient(job),
            Happening::Restart { instance } => self.restarts(instance),
        }
    }

    pub fn later(&mut self, in_ms: i64, happening: Happening) {
        self.queued += 1;
        self.queue.insert((self.now + in_ms.max(0), self.queued), happening);
    }

    /// The chance that belongs to one order, so that leaving another order out
    /// changes nothing for it.
    pub fn dice(&mut self, no: No) -> &mut Rng {
        let last = self.dice.len() - 1;
        &mut self.dice[no.min(last)]
    }

    /// The chance of what belongs to no order.
    pub fn chance(&mut self) -> &mut Rng {
        self.dice(No::MAX)
    }

    pub fn is_calm(&self) -> bool {
        self.now >= self.scenario.weather.calm_from
    }

    pub fn fresh_id(&mut self) -> Uuid {
        self.ids += 1;
        Uuid::from_u128(self.ids)
    }

    /// What time an instance believes it is.
    pub fn clock(&self, process: Process) -> Timestamp {
        at(self.now + self.instances[process.instance].skew_ms)
    }

    /// An instance that is up; none when all are down.
    pub fn any_process(&mut self, no: No) -> Option<Process> {
        let up: Vec<usize> =
            (0..self.instances.len()).filter(|i| self.instances[*i].alive).collect();
        if up.is_empty() {
            return None;
        }
        let instance = up[self.dice(no).index(up.len())];
        Some(Process { instance, life: self.instances[instance].life })
    }

    pub fn lives(&self, process: Process) -> bool {
        let instance = &self.instances[process.instance];
        instance.alive && instance.life == process.life
    }

    /// Whether the process dies here. With it goes all that it was about to do.
    pub fn dies(&mut self, process: Process, no: No, place: &str) -> bool {
        let chance = if self.is_calm() { 0 } else { self.scenario.weather.crashes };
        if !self.dice(no).permille(chance) {
            return false;
        }
        note!(self, Some(no), "{} DIES {place}", name(process));
        self.instances[process.instance].alive = false;
        self.tasks.retain(|_, task| task.process != process);
        self.running.retain(|(whose, _), _| *whose != process);
        let down = self.dice(no).range(SECOND, 10 * SECOND);
        self.later(down, Happening::Restart { instance: process.instance });
        true
    }

    fn restarts(&mut self, instance: usize) {
        let this = &mut self.instances[instance];
        this.alive = true;
        this.life += 1;
        let process = Process { instance, life: this.life };
        note!(self, None, "{} is up again", name(process));
    }

    pub fn breaks(&mut self, what: String) {
        note!(self, None, "BROKEN: {what}");
        self.broken.get_or_insert(what);
    }

    pub fn traces(&self) -> bool {
        self.trace.is_some()
    }

    pub fn write_down(&mut self, no: Option<No>, line: &str) {
        let now = self.now;
        let Some(trace) = &mut self.trace else { return };
        let who = no.map_or(String::new(), |no| format!("order {no}"));
        // Writing to a string cannot fail.
        let _ = writeln!(trace, "{:>7}.{:03} s  {who:<9} {line}", now / 1_000, now % 1_000);
    }

    pub fn into_trace(self) -> String {
        self.trace.unwrap_or_default()
    }
}

/// `A2`: the second life of the first instance.
pub fn name(process: Process) -> String {
    let letter = char::from(b'A' + (process.instance % 26) as u8);
    format!("{letter}{}", process.life)
}

/// The numbers that the shop ships with.
fn rules() -> Rules {
    let ms = std::time::Duration::from_millis;
    Rules {
        max_declines: 5,
        unsent_retries: 2,
        unsent_retries_automatic: 32,
        hold_grace: ms(2_000),
        reserve_repeat: ms(3_000),
        backorder_repeat: ms(600_000),
        reserving_limit: ms(900_000),
        retry_first: ms(250),
        retry_longest: ms(4_000),
        stuck_after: 48,
    }
}
