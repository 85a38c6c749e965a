//! What a service is given and what it gives back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use tonic::service::RoutesBuilder;
use utoipa_axum::router::OpenApiRouter;

use crate::audit::Audit;
use crate::auth::{Issuer, KeyRing, PublicKeys, Verifier};
use crate::clock::{Clock, Ids};
use crate::config::Config;
use crate::consumer::Consumer;
use crate::crypto::ColumnCipher;
use crate::graphql::Subgraph;
use crate::lifecycle::Lifecycle;
use crate::outbox::Outbox;
use crate::wakes::Wakes;

/// Everything a service may use. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub service: &'static str,
    pub config: Config,
    /// The service's own role and schema.
    pub pool: PgPool,
    pub clock: Clock,
    pub ids: Ids,
    pub issuer: Issuer,
    pub verifier: Verifier,
    pub cipher: ColumnCipher,
    pub outbox: Outbox,
    /// The service's audit log.
    pub audit: Audit,
    pub lifecycle: Lifecycle,
}

impl Context {
    /// A context over `pool` with keys from the configuration.
    pub fn new(
        service: &'static str,
        config: Config,
        pool: PgPool,
        lifecycle: Lifecycle,
    ) -> anyhow::Result<Self> {
        let auth = &config.ground.auth;
        let (clock, ids) = (Clock::System, Ids::random());
        let ring = Arc::new(KeyRing::load_or_create(&auth.signing_key_file)?);
        let keys = match &auth.jwks_url {
            Some(url) => PublicKeys::remote(url)?,
            None => PublicKeys::local(&ring),
        };
        let cipher = ColumnCipher::load_or_create(&auth.column_key_file)?;
        let outbox = Outbox::new(clock.clone(), ids.clone());
        Ok(Context {
            service,
            pool,
            audit: Audit::new(service, clock.clone(), ids.clone(), outbox.clone(), cipher.clone()),
            issuer: Issuer::new(ring, &auth.issuer),
            verifier: Verifier::new(keys, &auth.issuer, clock.clone()),
            cipher,
            outbox,
            clock,
            ids,
            lifecycle,
            config,
        })
    }

    /// A short-lived token by which this service calls another.
    pub fn service_token(&self) -> Result<String, crate::ApiError> {
        self.issuer.service(self.service, self.clock.now(), Duration::from_secs(300))
    }
}

/// A background task of a service; runs until the drain.
pub type Task = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

type GrpcMount = Box<dyn FnOnce(&mut RoutesBuilder) + Send>;

/// A built service: what the runner mounts, consumes and runs.
pub struct Service {
    pub name: &'static str,
    /// Paths below `/api/v1`, documented where they are declared.
    pub rest: OpenApiRouter,
    /// Routes that are not REST and sit at the root: sockets, well-known files.
    pub root: axum::Router,
    /// Its part of the graph.
    pub graph: Option<Subgraph>,
    pub grpc: Vec<GrpcMount>,
    pub consumer: Option<Consumer>,
    pub tasks: Vec<(&'static str, Task)>,
    /// Who is to hear of what its events are about.
    pub wakes: Option<Wakes>,
    pub ctx: Context,
}

/// How often those who follow changes look without having heard of any.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Service {
    pub fn new(ctx: Context) -> Self {
        Service {
            name: ctx.service,
            rest: OpenApiRouter::new(),
            root: axum::Router::new(),
            graph: None,
            grpc: Vec::new(),
            consumer: None,
            tasks: Vec::new(),
            wakes: None,
            ctx,
        }
    }

    pub fn rest(mut self, router: OpenApiRouter) -> Self {
        self.rest = router;
        self
    }

    pub fn root(mut self, router: axum::Router) -> Self {
        self.root = router;
        self
    }

    pub fn graph(mut self, subgraph: Subgraph) -> Self {
        self.graph = Some(subgraph);
        self
    }

    /// Mounts a gRPC server: `.grpc(|routes| { routes.add_service(server); })`.
    pub fn grpc(mut self, mount: impl FnOnce(&mut RoutesBuilder) + Send + 'static) -> Self {
        self.grpc.push(Box::new(mount));
        self
    }

    pub fn consumer(mut self, consumer: Consumer) -> Self {
        self.consumer = Some(consumer);
        self
    }

    /// Lets who waits at `wakes` follow changes: the relay tells the partition key
    /// of every event to all processes, and a task of this one listens.
    pub fn waking(mut self, wakes: Wakes) -> Self {
        let (pool, lifecycle) = (self.ctx.pool.clone(), self.ctx.lifecycle.clone());
        self.wakes = Some(wakes.clone());
        self.task("word of changes", wakes.listen(pool, lifecycle, Some(LOOK_AGAIN)))
    }

    pub fn task(
        mut self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) -> Self {
        self.tasks.push((name, Box::pin(task)));
        self
    }
}
