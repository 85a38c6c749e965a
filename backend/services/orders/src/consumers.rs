//! Events of others. Each says what the answer to a step would have said; the
//! saga moves on whichever comes first.

mod payments;
mod products;
mod reservations;

use std::sync::Arc;
use std::time::Duration;

use contracts::events::inventory::{
    ReservationConfirmed, ReservationExpired, ReservationHeld, ReservationInsufficient,
    ReservationReleased,
};
use contracts::events::payments::{PaymentCaptured, PaymentFailed, PaymentRefunded};
use contracts::events::products::{PriceChanged, ProductUpdated};
use platform::consumer::{Consumer, Done, HandleError};
use shared_types::OrderId;
use sqlx::PgConnection;

use crate::app::App;
use crate::domain::saga::Input;
use crate::echoes::Echo;
use crate::sagas::apply::{store_decision, told};
use crate::store;

/// Nearly everything repeats an answer that the saga had; only an order that was
/// placed while inventory was away waits for an event.
const FETCH_WAIT: Duration = Duration::from_millis(200);

/// Everything that orders listen to.
pub struct Ears {
    app: Arc<App>,
}

pub fn consumer(app: Arc<App>) -> Consumer {
    let ears = Arc::new(Ears { app });
    Consumer::new("orders", FETCH_WAIT)
        .on::<ProductUpdated, _>(ears.clone())
        .on::<PriceChanged, _>(ears.clone())
        .on::<ReservationHeld, _>(ears.clone())
        .on::<ReservationInsufficient, _>(ears.clone())
        .on::<ReservationExpired, _>(ears.clone())
        .on::<ReservationConfirmed, _>(ears.clone())
        .on::<ReservationReleased, _>(ears.clone())
        .on::<PaymentCaptured, _>(ears.clone())
        .on::<PaymentFailed, _>(ears.clone())
        .on::<PaymentRefunded, _>(ears)
}

impl Ears {
    /// Tells the saga of one order. Most events say what it knows already:
    /// those take no lock.
    async fn tell(
        &self,
        tx: &mut PgConnection,
        order_id: OrderId,
        input: Input,
    ) -> Result<Done, HandleError> {
        let now = self.app.ctx.clock.now();
        let says_nothing = |loaded: &store::sagas::Loaded| {
            loaded.saga.decide(input.clone(), &self.app.rules, now).is_none()
        };
        match store::sagas::find(tx, order_id).await? {
            // A hold whose order was never stored expires by itself.
            None => return Ok(Done::quietly()),
            Some(loaded) if says_nothing(&loaded) => return Ok(Done::quietly()),
            Some(_) => {}
        }
        let Some(loaded) = store::sagas::lock(tx, order_id).await? else {
            return Ok(Done::quietly());
        };
        let Some(decision) = loaded.saga.decide(input, &self.app.rules, now) else {
            return Ok(Done::quietly());
        };
        let lease = self.app.worker.lease_beside(&loaded, &decision.saga, now);
        let saga = store_decision(&self.app, tx, &loaded, decision, lease, None, now).await?;
        let app = self.app.clone();
        Ok(Done::then(move || {
            if let Some(saga) = saga {
                told(&app, &loaded, &saga);
            }
            app.worker.wake(order_id);
        }))
    }

    /// Whether this process stored what the event repeats.
    fn knows(&self, order_id: OrderId, echo: Echo) -> bool {
        self.app.echoes.knows(&(order_id, echo))
    }

    /// Makes the saga look now instead of later.
    async fn nudge(&self, tx: &mut PgConnection, order_id: OrderId) -> Result<Done, HandleError> {
        store::sagas::nudge(tx, order_id, self.app.ctx.clock.now()).await?;
        let app = self.app.clone();
        Ok(Done::then(move || app.worker.wake(order_id)))
    }
}
