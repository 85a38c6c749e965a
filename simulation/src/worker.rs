//! Instances of `orders` that drive sagas: leases, calls, decisions. What each
//! step calls follows the service's own steps line by line.

use std::time::Duration;

use crate::network::{Call, Outcome, Reply};
use crate::orders::{Lease, Loaded};
use crate::sabotage::Sabotage;
use crate::world::{Happening, No, Process, World, ms_of, name, note};
use orders::domain::saga::{Input, Saga, State, Step, next_step};

pub type TaskId = u64;

/// As shipped.
pub const LEASE: Duration = Duration::from_secs(20);
/// The longest that one step may take, and how long before its lease it ends.
const LONGEST_STEP: Duration = Duration::from_secs(14);
const LEASE_MARGIN: Duration = Duration::from_secs(4);
const POLLS_EVERY: i64 = 250;

/// Something that a process is in the middle of.
#[derive(Clone, Debug)]
pub struct Task {
    pub process: Process,
    pub no: No,
    /// The call whose answer is waited for.
    pub seq: u32,
    pub work: Work,
}

#[derive(Clone, Debug)]
pub enum Work {
    Placing { tries: u32 },
    Step { step: Step, loaded: Box<Loaded>, phase: Phase, input: Option<Input> },
}

/// What is waited for within a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Reserving,
    Pinning,
    Capturing,
    /// The hold is gone: did an earlier life capture already?
    AskingOfGone,
    Asking,
    Unpinning,
    Confirming,
    ReservingAnew,
    ConfirmingAnew,
    Releasing,
    Refunding,
}

enum Next {
    Call(Call, Phase),
    Done(Input),
}

impl Task {
    pub fn new(process: Process, no: No, work: Work) -> Self {
        Task { process, no, seq: 0, work }
    }
}

fn failed(what: &str) -> Next {
    Next::Done(Input::Failed { reason: what.to_owned() })
}

impl World {
    pub fn begin(&mut self, task: Task) -> TaskId {
        self.task_ids += 1;
        self.tasks.insert(self.task_ids, task);
        self.task_ids
    }

    pub fn later_poll(&mut self, no: No, round: u64) {
        let Some(row) = self.rows.get(&no) else { return };
        let Some(due) = row.saga.next_run_at else { return };
        let free = row.lease.map_or(due, |lease| lease.until.max(due));
        let wait = (ms_of(free) - self.now).max(0) + self.dice(no).range(1, POLLS_EVERY);
        self.later(wait, Happening::Poll { no, round });
    }

    /// Takes the lease of a due saga that nobody works on.
    pub fn polls(&mut self, no: No, round: u64) {
        let Some(row) = self.rows.get(&no).filter(|row| row.round == round) else { return };
        let (due, lease) = (row.saga.next_run_at, row.lease);
        if let Some(process) = self.any_process(no) {
            let now = self.clock(process);
            let ignored = self.sabotage == Some(Sabotage::NoLease);
            let free = ignored || lease.is_none_or(|lease| lease.until <= now);
            if free && due.is_some_and(|at| at <= now) {
                if let Some(row) = self.rows.get_mut(&no) {
                    row.lease = Some(Lease { owner: process, until: now.plus(LEASE) });
                }
                self.wake(process, no);
            }
        }
        match self.sabotage {
            // It looks as though nobody had it.
            Some(Sabotage::NoLease) if due.is_some() => {
                let wait = self.dice(no).range(POLLS_EVERY, 4 * POLLS_EVERY);
                self.later(wait, Happening::Poll { no, round });
            }
            _ => self.later_poll(no, round),
        }
    }

    pub fn wake(&mut self, process: Process, no: No) {
        let soon = self.dice(no).range(0, 5);
        self.later(soon, Happening::Wake { process, no });
    }

    pub fn wakes(&mut self, process: Process, no: No) {
        if !self.lives(process) {
            return;
        }
        if let Some(touched) = self.running.get_mut(&(process, no)) {
            *touched = true;
            return;
        }
        self.steps(process, no);
    }

    /// Takes the next step, or rests.
    fn steps(&mut self, process: Process, no: No) {
        let Some((loaded, step)) = self.taken_up(process, no) else {
            return self.rests(process, no);
        };
        self.running.entry((process, no)).or_insert(false);
        let busy = |task: &&Task| {
            task.no == no && task.process != process && matches!(task.work, Work::Step { .. })
        };
        if let Some(other) = self.tasks.values().find(busy).map(|task| task.process) {
            let (one, two) = (name(other), name(process));
            return self.breaks(format!("{one} and {two} work on order {no} at the same time"));
        }
        if self.dies(process, no, "before the calls of a step") {
            return;
        }
        note!(self, Some(no), "{} begins {step:?}", name(process));
        let first = first(step, &loaded);
        let loaded = Box::new(loaded);
        let work = Work::Step { step, loaded, phase: Phase::Releasing, input: None };
        let id = self.begin(Task::new(process, no, work));
        self.goes_on(id, first);
    }

    fn rests(&mut self, process: Process, no: No) {
        if self.running.remove(&(process, no)) == Some(true) {
            self.wake(process, no);
        }
    }

    /// Loads the order and makes sure that it is ours for as long as a step takes.
    fn taken_up(&mut self, process: Process, no: No) -> Option<(Loaded, Step)> {
        let mut loaded = self.loaded(no)?;
        let now = self.clock(process);
        let step = next_step(&loaded.saga, now)?;
        let mine = Lease { owner: process, until: now.plus(LEASE) };
        let needed = now.plus(LONGEST_STEP + LEASE_MARGIN);
        let ignored = self.sabotage == Some(Sabotage::NoLease);
        match loaded.lease {
            Some(lease) if lease.owner == process && lease.until >= needed => {}
            Some(lease) if lease.owner != process && lease.until > now && !ignored => return None,
            _ => {
                loaded.lease = Some(mine);
                self.rows.get_mut(&no)?.lease = Some(mine);
            }
        }
        Some((loaded, step))
    }

    fn goes_on(&mut self, id: TaskId, next: Next) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let (no, seq) = (task.no, task.seq);
        let Work::Step { phase, input, .. } = &mut task.work else { return };
        match next {
            Next::Call(call, waits_for) => {
                *phase = waits_for;
                self.call(no, id, seq, call);
            }
            Next::Done(what) => {
                *input = Some(what);
                let soon = self.dice(no).range(0, 20);
                self.later(soon, Happening::Apply { task: id });
            }
        }
    }

    /// An answer, or the end of waiting for it.
    pub fn answers(&mut self, id: TaskId, seq: u32, reply: Reply) {
        let Some(task) = self.tasks.get_mut(&id).filter(|task| task.seq == seq) else { return };
        task.seq += 1;
        let no = task.no;
        match task.work.clone() {
            Work::Placing { tries } => self.placing_answered(id, tries, &reply),
            Work::Step { loaded, phase, .. } => {
                let good = loaded.saga.attempt.and_then(|id| {
                    self.rows.get(&no).and_then(|row| row.attempts.get(&id)).copied()
                });
                let next = after(phase, &reply, &loaded, good.unwrap_or(true), &self.rules);
                self.goes_on(id, next);
            }
        }
    }

    /// Decides and stores.
    pub fn applies(&mut self, id: TaskId) {
        let Some(Task { process, no, work, .. }) = self.tasks.get(&id).cloned() else { return };
        let Work::Step { step, loaded, input: Some(input), .. } = work else { return };
        if self.dies(process, no, "after the calls of a step") {
            return;
        }
        self.tasks.remove(&id);
        note!(self, Some(no), "{} learns from {step:?}: {input:?}", name(process));
        let now = self.clock(process);
        let Some(decision) = loaded.saga.decide(input, &self.rules, now) else {
            return self.rests(process, no);
        };
        let due = decision.saga.next_run_at.is_some_and(|at| at <= now);
        let lease = due.then(|| Lease { owner: process, until: now.plus(LEASE) });
        if self.dies(process, no, "before a step is committed") {
            return;
        }
        if !self.store(process, no, &loaded, decision, lease) {
            note!(self, Some(no), "it has changed meanwhile");
            return self.steps(process, no);
        }
        if self.dies(process, no, "after a step is committed") {
            return;
        }
        if due { self.steps(process, no) } else { self.rests(process, no) }
    }
}

fn capture_of(loaded: &Loaded, good: bool) -> Next {
    match loaded.saga.attempt {
        Some(attempt) => {
            let minor = loaded.saga.total_minor;
            Next::Call(Call::Capture { attempt, minor, good }, Phase::Capturing)
        }
        None => failed("there is no attempt to charge"),
    }
}

fn question(saga: &Saga, phase: Phase) -> Next {
    match saga.attempt {
        Some(attempt) => Next::Call(Call::GetAttempt { attempt }, phase),
        None => failed("there is no attempt to ask for"),
    }
}

/// How a step begins.
fn first(step: Step, loaded: &Loaded) -> Next {
    match step {
        Step::HoldTimer => Next::Done(Input::HoldLost { released: false }),
        Step::GiveUp => Next::Done(Input::TookTooLong),
        Step::EndRefunded => Next::Done(Input::RefundsDone),
        Step::Rest => Next::Done(Input::Nothing),
        Step::Reserve => Next::Call(Call::Reserve { accept_backorder: true }, Phase::Reserving),
        Step::Charge if loaded.saga.attempt.is_none() => failed("there is no attempt to charge"),
        Step::Charge => {
            let extend = !loaded.saga.automatic;
            Next::Call(Call::Pin { pinned: true, extend }, Phase::Pinning)
        }
        Step::AskOutcome => question(&loaded.saga, Phase::Asking),
        Step::Confirm => Next::Call(Call::Confirm, Phase::Confirming),
        Step::Refund => match &loaded.refund {
            Some(refund) => {
                let call = Call::Refund { refund: refund.id, minor: refund.minor };
                Next::Call(call, Phase::Refunding)
            }
            None => Next::Done(Input::Nothing),
        },
        Step::Release => Next::Call(Call::Release, Phase::Releasing),
    }
}

/// What an answer leads to.
fn after(
    phase: Phase,
    reply: &Reply,
    loaded: &Loaded,
    good: bool,
    rules: &orders::domain::saga::Rules,
) -> Next {
    let saga = &loaded.saga;
    match (phase, reply) {
        (Phase::Reserving, Reply::Held(at)) => Next::Done(Input::Held { expires_at: *at }),
        (Phase::Reserving, Reply::Waiting) => Next::Done(Input::Waiting),
        (Phase::Reserving, Reply::Short | Reply::Refused) => Next::Done(Input::Short),
        (Phase::Pinning, Reply::Pinned { held: true, .. }) => capture_of(loaded, good),
        (Phase::Pinning, Reply::Pinned { .. }) => question(saga, Phase::AskingOfGone),
        (Phase::Capturing, Reply::Away) => Next::Done(Input::OutcomeUnknown),
        (Phase::AskingOfGone, Reply::Attempt(None)) => {
            Next::Done(Input::HoldLost { released: false })
        }
        (Phase::Asking, Reply::Attempt(None)) if saga.state == State::Settling => {
            Next::Done(Input::NotSent)
        }
        (Phase::Asking, Reply::Attempt(None)) => capture_of(loaded, good),
        (_, Reply::Attempt(Some(outcome))) => outcome_of(outcome, saga, rules),
        (Phase::Unpinning, reply) => {
            let hold_expires_at = match reply {
                Reply::Pinned { expires_at, .. } => *expires_at,
                _ => None,
            };
            Next::Done(Input::Declined { code: "declined".to_owned(), hold_expires_at })
        }
        (Phase::Confirming | Phase::ConfirmingAnew, Reply::Confirmed(true)) => {
            Next::Done(Input::Confirmed)
        }
        (Phase::Confirming, Reply::Confirmed(false)) => {
            Next::Call(Call::Reserve { accept_backorder: false }, Phase::ReservingAnew)
        }
        (Phase::ReservingAnew, Reply::Held(_)) => Next::Call(Call::Confirm, Phase::ConfirmingAnew),
        (Phase::ReservingAnew, Reply::Short | Reply::Waiting | Reply::Refused) => {
            Next::Done(Input::StockLost)
        }
        (Phase::Releasing, Reply::Released) => Next::Done(Input::Released),
        (Phase::Refunding, Reply::Refunded) => {
            let (minor, actor) = refund_of(loaded);
            Next::Done(Input::RefundDone { minor, actor })
        }
        (Phase::Refunding, Reply::RefundRefused) => {
            let reason = "payments refuses the refund".to_owned();
            Next::Done(Input::RefundFailed { reason, actor: refund_of(loaded).1 })
        }
        (_, reply) => failed(&format!("{phase:?}: {reply:?}")),
    }
}

fn refund_of(loaded: &Loaded) -> (i64, String) {
    loaded.refund.as_ref().map_or((0, String::new()), |r| (r.minor, r.actor.clone()))
}

fn outcome_of(outcome: &Outcome, saga: &Saga, rules: &orders::domain::saga::Rules) -> Next {
    match outcome {
        Outcome::Captured(payment) => Next::Done(Input::Captured { payment: *payment }),
        Outcome::NotSent => Next::Done(Input::NotSent),
        Outcome::Pending => Next::Done(Input::OutcomeUnknown),
        Outcome::Declined => {
            let over = saga.state == State::Settling
                || saga.automatic
                || saga.declines + 1 >= rules.max_declines;
            if over {
                let code = "declined".to_owned();
                return Next::Done(Input::Declined { code, hold_expires_at: None });
            }
            Next::Call(Call::Pin { pinned: false, extend: false }, Phase::Unpinning)
        }
    }
}
