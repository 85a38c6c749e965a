//! After the race: what came back is sold, unit by unit, until nothing is left.
//!
//! A unit that a declined card or an ended hold gave back after the crowd was
//! refused must still be for sale: were it lost, it could not be sold now.

use std::time::{Duration, Instant};

use super::manners::Manner;
use super::race::{self, Race};
use super::{Args, Scene, count};
use crate::shelves;

const PAUSE: Duration = Duration::from_millis(200);

/// Sells every free unit; ends when none is free or held, or time is up.
pub async fn sell_what_came_back(
    scene: &Scene,
    args: &Args,
    race: &mut Race,
    limit: Duration,
) -> anyhow::Result<()> {
    let started = Instant::now();
    let mut sold = 0;
    while started.elapsed() < limit {
        let stocks = shelves::stocks(&scene.shop, &scene.merchant, &scene.skus).await?;
        let (mut wishes, mut held) = (Vec::new(), 0);
        for (number, stock) in stocks.iter().enumerate() {
            held += stock.held;
            let free = usize::try_from(stock.available).unwrap_or(0);
            wishes.extend(std::iter::repeat_n(vec![number], free));
        }
        if wishes.is_empty() && held == 0 {
            break;
        }
        sold += wishes.len();
        let more = race::send(scene, args.concurrency, wishes, Manner::AtOnce).await?;
        race.merge(more);
        count::come_to_rest(scene, race, limit).await?;
        tokio::time::sleep(PAUSE).await;
    }
    println!("then {sold} units that came back or fitted no bundle were asked for");
    Ok(())
}
