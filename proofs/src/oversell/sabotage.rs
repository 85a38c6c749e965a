//! Breaking the promise from outside, through public controls, to see that the
//! counting would notice.

use anyhow::Context as _;
use shared_types::OrderId;
use shared_types::inventory::{ReserveInput, ReserveOutput};
use shared_types::orders::{LineInput, OrderStatus};

use super::Scene;
use super::race::Race;
use crate::client::Call;
use crate::credentials::Renewing;
use crate::settings::ShopArgs;

/// What is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sabotage {
    /// One sale is charged a second time, at the payment gateway itself.
    Charge,
    /// One unit is held past the orders, for an order that does not exist.
    Hold,
    /// Both.
    All,
}

impl Sabotage {
    fn charges(self) -> bool {
        self != Sabotage::Hold
    }

    fn holds(self) -> bool {
        self != Sabotage::Charge
    }
}

pub async fn before(what: Sabotage, args: &ShopArgs, scene: &Scene) -> anyhow::Result<()> {
    if !what.holds() {
        return Ok(());
    }
    let (sku, product) = (&scene.skus[0], &scene.products[0]);
    let phantom = OrderId(uuid::Uuid::new_v4());
    let lines = vec![LineInput { sku: sku.clone(), qty: 1 }];
    let body = ReserveInput { order_id: phantom, lines };
    let call = Call::post(format!("/products/{product}/inventory/reserve"), &body)?
        .by(Renewing::tools(args)?.get().await?);
    let answer = scene.shop.send(&call).await?;
    let output: ReserveOutput = answer.expect(&[200], "holding a unit for nobody")?;
    println!("sabotage: {} one unit for an order that does not exist", output.outcome);
    Ok(())
}

pub async fn after(what: Sabotage, scene: &Scene, race: &Race) -> anyhow::Result<()> {
    if !what.charges() {
        return Ok(());
    }
    let confirmed = |s: &&super::race::Sale| {
        s.last.as_ref().is_some_and(|view| view.status == OrderStatus::Confirmed)
    };
    let sale = race.sales.iter().find(confirmed).context("nothing was sold to charge again")?;
    scene.simulator.charge_again(&sale.order_id).await?;
    println!("sabotage: charged one order again");
    Ok(())
}
