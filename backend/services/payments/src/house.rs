//! What the use cases share: context, settings, gateways, and who we are.

use std::sync::Arc;
use std::time::{Duration, Instant};

use platform::Context;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::config::Settings;
use crate::domain::Patience;
use crate::provider::Gateways;
use crate::reconcile::FallbackShare;
use crate::store::attempts::Claim;
use crate::tokens::TokenVault;

/// Cheap to clone.
#[derive(Clone)]
pub struct House(Arc<Parts>);

pub struct Parts {
    pub ctx: Context,
    pub settings: Settings,
    pub gateways: Gateways,
    /// Seals payment tokens.
    pub vault: TokenVault,
    /// This process, as the owner of what it works on.
    pub owner: Uuid,
    /// Attempts and refunds driven at once.
    pub running: Arc<Semaphore>,
    /// How many of the last answers came through the fallback.
    pub share: FallbackShare,
}

impl std::ops::Deref for House {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl House {
    pub fn new(ctx: Context) -> anyhow::Result<Self> {
        let settings = Settings::load(&ctx.config)?;
        let gateways = Gateways::new(&settings, &ctx.clock)?;
        let vault = TokenVault::open_file(&ctx, &settings)?;
        let running = Arc::new(Semaphore::new(settings.max_running));
        let owner = platform::instance::here();
        let share = FallbackShare::default();
        Ok(House(Arc::new(Parts { ctx, settings, gateways, vault, owner, running, share })))
    }

    /// A claim that starts now, and the moment after which its request must no
    /// longer leave.
    pub fn claim(&self) -> (Claim, Instant) {
        let now = self.ctx.clock.now();
        let window = self.settings.send_window();
        let claim = Claim {
            owner: self.owner,
            now,
            quiet_from: now.plus(window),
            lease_until: now.plus(self.settings.lease()),
        };
        (claim, Instant::now() + window)
    }

    pub fn patience(&self, max_sends: u32) -> Patience {
        Patience {
            settlement_time: self.settings.settlement_time(),
            resend_within: self.settings.resend_within(),
            max_sends,
        }
    }

    pub async fn connection(&self) -> sqlx::Result<sqlx::pool::PoolConnection<sqlx::Postgres>> {
        self.ctx.pool.acquire().await
    }
}

/// Between questions about the same thing: 1, 2, 4 … 30 s.
pub fn ask_again_after(asks: i32) -> Duration {
    const LONGEST: Duration = Duration::from_secs(30);
    let doublings = u32::try_from(asks).unwrap_or(0).min(5);
    LONGEST.min(Duration::from_secs(1) * 2u32.pow(doublings))
}
