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
use crate::echoes::Echo;

macro_rules! tells {
    ($($event:ty => $echo:expr, |$payload:ident| $input:expr),+ $(,)?) => {$(
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

            fn is_known(&self, event: &Envelope<$event>) -> bool {
                let echo: Option<Echo> = $echo;
                echo.is_some_and(|echo| self.knows(event.payload.order_id, echo))
            }
        }
    )+};
}

tells! {
    ReservationHeld => Some(Echo::Held), |held| Input::Held { expires_at: held.expires_at },
    ReservationInsufficient => None, |short| match short.backordered {
        true => Input::Waiting,
        false => Input::Short,
    },
    ReservationExpired => None, |expired| Input::HoldLost { released: true },
    ReservationConfirmed => Some(Echo::Confirmed), |confirmed| Input::Confirmed,
    ReservationReleased => Some(Echo::Released), |released| Input::Released,
}
