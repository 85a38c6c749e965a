//! What inventory says about an order's stock.

use async_trait::async_trait;
use contracts::events::inventory::{
    ReservationConfirmed, ReservationExpired, ReservationHeld, ReservationInsufficient,
    ReservationReleased,
};
use platform::consumer::{Done, Handle, HandleError};
use platform::outbox::Envelope;
use sqlx::PgConnection;

use super::Ears;
use crate::domain::saga::Input;

macro_rules! tells {
    ($($event:ty => |$payload:ident| $input:expr),+ $(,)?) => {$(
        #[async_trait]
        impl Handle<$event> for Ears {
            async fn handle(
                &self,
                tx: &mut PgConnection,
                event: &Envelope<$event>,
            ) -> Result<Done, HandleError> {
                let $payload = &event.payload;
                self.tell(tx, $payload.order_id, $input).await
            }
        }
    )+};
}

tells! {
    ReservationHeld => |held| Input::Held { expires_at: held.expires_at },
    ReservationInsufficient => |short| match short.backordered {
        true => Input::Waiting,
        false => Input::Short,
    },
    ReservationExpired => |expired| Input::HoldLost { released: true },
    ReservationConfirmed => |confirmed| Input::Confirmed,
    ReservationReleased => |released| Input::Released,
}
