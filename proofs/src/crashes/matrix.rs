//! Every place of every way of an order: the shop ends itself there.

use std::pin::pin;
use std::str::FromStr;
use std::time::{Duration, Instant};

use super::flows::{Course, Flow};
use super::rest::{Rest, rest};
use super::{Args, Scene, Seen, judge, seconds};
use crate::mortal::Mortal;
use crate::report::Table;

/// The switch of the shop that this proof turns.
const SWITCH: &str = "BV_ORDERS__DIE_AT_PASS";
/// A way with more places than this has no end.
const MOST_PLACES: u32 = 200;
/// After the last thing that is stored, the process may still die.
const LAST_MOMENT: Duration = Duration::from_millis(500);

/// Which places are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Steps {
    /// Each n-th until the way has no further one.
    Every(u32),
    These(Vec<u32>),
    None,
}

impl FromStr for Steps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = |_| "give all, none, every:N, or numbers with commas".to_owned();
        Ok(match text {
            "all" => Steps::Every(1),
            "none" => Steps::None,
            _ => match text.strip_prefix("every:") {
                Some(n) => Steps::Every(n.parse::<std::num::NonZeroU32>().map_err(bad)?.get()),
                None => {
                    let numbers = text.split(',').map(|n| n.trim().parse().map_err(bad));
                    Steps::These(numbers.collect::<Result<_, _>>()?)
                }
            },
        })
    }
}

impl Steps {
    fn places(&self) -> Vec<u32> {
        match self {
            Steps::Every(step) => (0..MOST_PLACES).step_by(*step as usize).collect(),
            Steps::These(places) => places.clone(),
            Steps::None => Vec::new(),
        }
    }
}

/// What happened at one place.
struct Try {
    course: Course,
    died: bool,
    rest: Rest,
    opening: Duration,
    /// Why the shop did not open at once after its death.
    shut: Option<anyhow::Error>,
}

pub async fn run(
    scene: &Scene,
    args: &Args,
    mortal: &mut Mortal,
    seen: &mut Seen,
) -> anyhow::Result<()> {
    let columns =
        ["way of the order", "places", "longest opening", "longest until rest", "the provider's"];
    let mut table = Table::new(&columns);
    for flow in args.flows() {
        let (mut places, mut longest, mut opening) = (0, Rest::default(), Duration::ZERO);
        for place in args.steps.places() {
            let what = format!("{}, dying at place {place}", flow.name());
            let key = format!("{}-{flow:?}-{place}", scene.run);
            match attempt(scene, args, mortal, (flow, place), &key).await {
                Ok(tried) => {
                    judge(scene, &tried.course, &what, seen).await?;
                    seen.courses.push(tried.course);
                    if let Some(error) = tried.shut {
                        seen.complain(format!("{what}, opened again: {error:#}"));
                    }
                    if !tried.died {
                        break;
                    }
                    places += 1;
                    longest = longest.longest(tried.rest);
                    opening = opening.max(tried.opening);
                }
                Err(error) => {
                    seen.complain(format!("{what}: {error:#}"));
                    mortal.heal_and_reopen().await?;
                }
            }
        }
        println!("{}: died at {places} places, up to {}", flow.name(), seconds(longest.own));
        table.row(vec![
            flow.name().to_owned(),
            places.to_string(),
            seconds(opening),
            seconds(longest.own),
            seconds(longest.provider),
        ]);
    }
    print!("\n{}\n", table.plain());
    Ok(())
}

/// One order in a shop that dies at the place, and goes on in the next.
async fn attempt(
    scene: &Scene,
    args: &Args,
    mortal: &mut Mortal,
    (flow, place): (Flow, u32),
    key: &str,
) -> anyhow::Result<Try> {
    mortal.kill_and_reopen_with(&[(SWITCH, place.to_string())]).await?;
    scene.sign_in().await?;
    let mut drive = pin!(flow.drive(scene, key));
    let mut course = None;
    let died = tokio::select! {
        biased;
        ended = mortal.ended() => { ended?; true }
        done = &mut drive => {
            let done = course.insert(done?);
            // Before its death nobody measures; the limit only ends a way that hangs.
            let rested = async {
                let rested = rest(scene, done, Instant::now(), Duration::from_secs(60)).await;
                tokio::time::sleep(LAST_MOMENT).await;
                rested
            };
            tokio::select! {
                biased;
                ended = mortal.ended() => { ended?; true }
                rested = rested => { rested?; false }
            }
        }
    };
    if !died {
        let (rest, opening) = (Rest::default(), Duration::ZERO);
        let course = course.ok_or_else(|| anyhow::anyhow!("an order without end"))?;
        return Ok(Try { course, died, rest, opening, shut: None });
    }
    let go_on = async {
        match course {
            Some(course) => Ok(course),
            None => drive.await,
        }
    };
    // A shop that stays shut is a fault of its own; the buyer still waits for an answer.
    let open = async {
        let shut = mortal.heal_and_reopen().await.err();
        if shut.is_some() {
            mortal.heal_and_reopen().await?;
        }
        anyhow::Ok((Instant::now(), shut))
    };
    let (opened, course) = tokio::join!(open, go_on);
    let ((opened, shut), course) = (opened?, course?);
    let rest = rest(scene, &course, opened.max(course.done), args.within()).await?;
    let opening = mortal.openings.last().copied().unwrap_or_default();
    Ok(Try { course, died, rest, opening, shut })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_all_some_or_named() {
        let places = |text: &str| text.parse::<Steps>().map(|steps| steps.places());
        assert_eq!(places("all").unwrap().len(), MOST_PLACES as usize);
        assert_eq!(places("every:50").unwrap(), [0, 50, 100, 150]);
        assert_eq!(places("3, 7").unwrap(), [3, 7]);
        assert!(places("none").unwrap().is_empty());
        for wrong in ["", "some", "every:0", "1;2", "-1"] {
            assert!(places(wrong).is_err(), "{wrong}");
        }
    }
}
