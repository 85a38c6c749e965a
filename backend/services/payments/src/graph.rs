//! Payments' part of the graph: translation only.
//!
//! A payment is seen by who made it, by the holder of its order's token, and by
//! staff, as over REST; it is added to its order here.

mod mutations;
mod payment;

use async_graphql::{Context, EmptySubscription, ID, Object, Result, Schema};
use platform::graphql::{
    Batch, NodeId, Refusal, Subgraph, batch, caller, held, limited, or_null, signed_in,
};
use shared_types::payments::PaymentAttempt as Attempt;
use shared_types::{OrderId, PaymentId};

use crate::house::House;
use crate::intents::{self, PaymentRow};

use payment::{Node, Order, Payment};

type Payments = Batch<PaymentId, PaymentRow>;
type PaymentsOfOrders = Batch<OrderId, PaymentRow>;
/// With what was said to providers, or without.
type Attempts = Batch<(PaymentId, bool), Vec<Attempt>>;

/// The subgraph over `house`.
pub fn graph(house: House) -> Subgraph {
    let schema = Schema::build(Query, mutations::Mutation, EmptySubscription)
        .register_output_type::<Node>()
        .register_output_type::<Refusal>()
        .data(house.clone());
    let schema = limited(schema).finish();
    let verifier = house.ctx.verifier.clone();
    Subgraph::new("payments", schema, verifier, move |request| {
        request.data(payments(&house)).data(payments_of_orders(&house)).data(attempts(&house))
    })
}

fn payments(house: &House) -> Payments {
    batch(house, |house, ids| async move { intents::payments_by_id(&house, &ids).await })
}

fn payments_of_orders(house: &House) -> PaymentsOfOrders {
    batch(house, |house, ids| async move { intents::payments_of_orders(&house, &ids).await })
}

fn attempts(house: &House) -> Attempts {
    batch(house, |house, wanted| async move { intents::attempts_of(&house, &wanted).await })
}

pub struct Query;

#[Object]
impl Query {
    /// One payment: for its creator, the holder of its order's token, and
    /// support.
    #[graphql(complexity = "10 + child_complexity")]
    async fn payment(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Payment>> {
        or_null(ctx, async {
            let caller = signed_in(ctx)?;
            let found = match NodeId::read::<PaymentId>("Payment", &id) {
                Some(id) => held::<Payments>(ctx)?.load_one(id).await?,
                None => None,
            };
            Ok(intents::visible(caller, found)?.map(Payment::from))
        })
        .await
    }

    #[graphql(entity)]
    async fn find_payment_by_id(&self, ctx: &Context<'_>, id: ID) -> Result<Option<Payment>> {
        or_null(ctx, async {
            let (Some(caller), Some(id)) = (caller(ctx), NodeId::read::<PaymentId>("Payment", &id))
            else {
                return Ok(None);
            };
            let found = held::<Payments>(ctx)?.load_one(id).await?;
            // An error would take the other entities of the answer with it.
            Ok(intents::visible(caller, found).unwrap_or_default().map(Payment::from))
        })
        .await
    }

    #[graphql(entity)]
    async fn find_order_by_id(&self, id: ID) -> Order {
        Order { id }
    }
}
