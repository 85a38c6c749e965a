//! How long a saga takes to come to rest, and whom it waited for.

use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Deserialize;

use super::Scene;
use super::flows::Course;
use crate::client::Call;

const PAUSE: Duration = Duration::from_millis(40);
/// The provider's settlement time and the pauses between questions fit in.
const PROVIDER_WITHIN: Duration = Duration::from_secs(150);

/// Time until a saga rested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// When it was up to the shop.
    pub own: Duration,
    /// While the provider had not said what became of a payment.
    pub provider: Duration,
}

impl Rest {
    pub fn longest(self, other: Rest) -> Rest {
        Rest { own: self.own.max(other.own), provider: self.provider.max(other.provider) }
    }
}

/// What this proof reads of `GET /admin/sagas/{orderId}`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Saga {
    state: String,
    retries: u32,
    stuck: bool,
    #[serde(default)]
    stuck_reason: Option<String>,
    next_run_at: Option<String>,
    leased_until: Option<String>,
    attempts: Vec<Attempt>,
}

#[derive(Debug, Deserialize)]
struct Attempt {
    state: String,
}

/// Whether the saga waits for a word of the payment provider: it asked, and asks
/// again later; or nothing was sent, because the provider is left alone for a while
/// after failures.
fn waits_for_provider(saga: &Saga) -> bool {
    let pauses = saga.leased_until.is_none() && saga.next_run_at.is_some();
    match saga.state.as_str() {
        "deciding" | "settling" => pauses,
        "authorizing" => {
            pauses && saga.retries == 0 && saga.attempts.iter().any(|one| one.state == "not_sent")
        }
        // A partial refund leaves the order done.
        "refunding" | "done" => pauses && saga.retries > 0,
        _ => false,
    }
}

/// Waits for the saga to rest; time counts from `since`, which may be past.
/// Gives up when the shop took longer than `within`.
pub async fn rest(
    scene: &Scene,
    course: &Course,
    since: Instant,
    within: Duration,
) -> anyhow::Result<Rest> {
    let (mut rest, mut looked) = (Rest::default(), since);
    loop {
        let call =
            Call::get(format!("/admin/sagas/{}", course.order)).by(scene.operator.get().await?);
        let answer = scene.shop.patiently(&call).await?;
        let saga: Saga = answer.expect(&[200], "looking at a saga")?;
        let now = Instant::now();
        let passed = now.saturating_duration_since(looked);
        looked = now.max(looked);
        let rests = saga.state == "done" && saga.next_run_at.is_none();
        match waits_for_provider(&saga) {
            true => rest.provider += passed,
            false => rest.own += passed,
        }
        if rests && rest.own <= within {
            return Ok(rest);
        }
        let at = format!("{} ({}) is {}", course.order, course.flow.name(), saga.state);
        ensure!(!saga.stuck, "{at} and waits for a person: {:?}", saga.stuck_reason);
        ensure!(rest.own <= within, "{at} for longer than {:.1} s", within.as_secs_f64());
        ensure!(rest.provider <= PROVIDER_WITHIN, "{at}: the provider does not decide");
        tokio::time::sleep(PAUSE).await;
    }
}
