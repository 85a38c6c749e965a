//! Putting targets together: who calls whom, in process or over a channel.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use contracts::clients::fault::FaultSwitch;
use contracts::clients::remote::Remote;
use contracts::clients::traced::Traced;
use contracts::clients::{CartClient, CatalogClient, PaymentsClient, StockClient};
use platform::config::Config;
use platform::db::Plans;
use platform::lifecycle::Lifecycle;
use platform::service::{Context, Service};
use sqlx::postgres::PgConnectOptions;
use utoipa::openapi::OpenApi;

use crate::{api_docs, storefront};

/// What has been built so far.
pub struct Assembly {
    pub config: Config,
    pub lifecycle: Lifecycle,
    databases: HashMap<String, PgConnectOptions>,
    pub services: Vec<Service>,
    /// Servers on ports of their own: name, address, routes.
    pub servers: Vec<(&'static str, SocketAddr, axum::Router)>,
    /// Subgraphs of other processes, for the internal port.
    pub remote_subgraphs: axum::Router,
    stock: Option<Arc<dyn StockClient>>,
    payments: Option<Arc<dyn PaymentsClient>>,
    catalog: Option<Arc<dyn CatalogClient>>,
    cart: Option<Arc<dyn CartClient>>,
    /// Makes inventory look away, for drills in demo mode.
    inventory_fault: FaultSwitch,
}

impl Assembly {
    /// `databases` by schema name.
    pub fn new(
        config: Config,
        lifecycle: Lifecycle,
        databases: HashMap<String, PgConnectOptions>,
    ) -> Self {
        Assembly {
            config,
            lifecycle,
            databases,
            services: Vec::new(),
            servers: Vec::new(),
            remote_subgraphs: axum::Router::new(),
            stock: None,
            payments: None,
            catalog: None,
            cart: None,
            inventory_fault: FaultSwitch::default(),
        }
    }

    fn context(&self, service: &'static str, plans: Plans) -> anyhow::Result<Context> {
        let schema = service.replace('-', "_");
        let options = self.databases.get(&schema).cloned();
        let options = options.with_context(|| format!("no database for {service}"))?;
        let database = &self.config.ground.database;
        let acquire = std::time::Duration::from_millis(database.acquire_timeout_ms);
        let pool = platform::db::pool(options, database.pool_size, acquire, service, plans);
        Context::new(service, self.config.clone(), pool, self.lifecycle.clone())
    }

    /// A client of `peer` over its configured address, in the name of `caller`.
    fn remote(&self, caller: &Context, peer: &str) -> anyhow::Result<Arc<Remote>> {
        let address: String = self.config.section(&format!("peers.{peer}"))?;
        let remote =
            Remote::new(&address, caller.issuer.clone(), caller.clock.clone(), caller.service)?;
        Ok(Arc::new(remote))
    }

    fn stock_for(&self, caller: &Context) -> anyhow::Result<Arc<dyn StockClient>> {
        let client: Arc<dyn StockClient> = match &self.stock {
            Some(local) => local.clone(),
            None => self.remote(caller, "inventory")?,
        };
        Ok(Arc::new(Traced::new(client, caller.service)))
    }

    fn payments_for(&self, caller: &Context) -> anyhow::Result<Arc<dyn PaymentsClient>> {
        let client: Arc<dyn PaymentsClient> = match &self.payments {
            Some(local) => local.clone(),
            None => self.remote(caller, "payments")?,
        };
        Ok(Arc::new(Traced::new(client, caller.service)))
    }

    fn catalog_for(&self, caller: &Context) -> anyhow::Result<Arc<dyn CatalogClient>> {
        let client: Arc<dyn CatalogClient> = match &self.catalog {
            Some(local) => local.clone(),
            None => self.remote(caller, "catalog")?,
        };
        Ok(Arc::new(Traced::new(client, caller.service)))
    }

    fn cart_for(&self, caller: &Context) -> anyhow::Result<Arc<dyn CartClient>> {
        let client: Arc<dyn CartClient> = match &self.cart {
            Some(local) => local.clone(),
            None => self.remote(caller, "cart")?,
        };
        Ok(Arc::new(Traced::new(client, caller.service)))
    }
}

pub fn identity(a: &mut Assembly) -> anyhow::Result<()> {
    let service = identity::build(a.context("identity", Plans::PerCall)?)?;
    a.services.push(service);
    Ok(())
}

pub fn inventory(a: &mut Assembly) -> anyhow::Result<()> {
    let built = inventory::build(a.context("inventory", Plans::Kept)?, a.inventory_fault.clone())?;
    a.stock = Some(built.client);
    a.services.push(built.service);
    Ok(())
}

pub fn catalog(a: &mut Assembly) -> anyhow::Result<()> {
    let ctx = a.context("catalog", Plans::PerCall)?;
    let stock = a.stock_for(&ctx)?;
    let built = catalog::build(ctx, stock)?;
    a.catalog = Some(built.client);
    a.services.push(built.service);
    Ok(())
}

pub fn cart(a: &mut Assembly) -> anyhow::Result<()> {
    let ctx = a.context("cart", Plans::Kept)?;
    let catalog = a.catalog_for(&ctx)?;
    let built = cart::build(ctx, catalog)?;
    a.cart = Some(built.client);
    a.services.push(built.service);
    Ok(())
}

pub fn payments(a: &mut Assembly) -> anyhow::Result<()> {
    let built = payments::build(a.context("payments", Plans::Kept)?)?;
    a.payments = Some(built.client);
    a.services.push(built.service);
    Ok(())
}

pub fn orders(a: &mut Assembly) -> anyhow::Result<()> {
    let ctx = a.context("orders", Plans::Kept)?;
    let clients = orders::Clients {
        stock: a.stock_for(&ctx)?,
        payments: a.payments_for(&ctx)?,
        catalog: a.catalog_for(&ctx)?,
        cart: a.cart_for(&ctx)?,
    };
    let service = orders::build(ctx, clients)?;
    a.services.push(service);
    Ok(())
}

pub fn notifications(a: &mut Assembly) -> anyhow::Result<()> {
    let service = notifications::build(a.context("notifications", Plans::Kept)?)?;
    a.services.push(service);
    Ok(())
}

pub fn operations(a: &mut Assembly) -> anyhow::Result<()> {
    let consumers = crate::targets::consumers();
    let service = operations::build(a.context("operations", Plans::PerCall)?, consumers)?;
    a.services.push(service);
    Ok(())
}

pub fn payment_simulator(a: &mut Assembly) -> anyhow::Result<()> {
    let simulator = payments::simulator::build(a.context("payment-simulator", Plans::PerCall)?)?;
    a.servers.push(("payment simulator", simulator.address, simulator.router));
    Ok(())
}

/// Last in the table: it mounts the routers of everything built before.
pub fn gateway(a: &mut Assembly) -> anyhow::Result<()> {
    let ground = &a.config.ground;
    let mut local = HashMap::new();
    let mut documents = Vec::new();
    for service in &a.services {
        let (router, document) = mounted(service);
        local.insert(service.name.to_owned(), router);
        documents.push(document);
    }
    let document = if a.services.len() + 1 == crate::targets::select("all")?.len() {
        api_docs::merge(documents)
    } else {
        api_docs::checked_in()?
    };
    let deps = gateway::Deps::new(
        a.config.clone(),
        a.lifecycle.clone(),
        local,
        api_docs::router(&document)?,
    )?;
    let api = gateway::api(deps.clone());
    a.remote_subgraphs = gateway::remote_subgraphs(&a.config, &a.lifecycle)?;
    let pages = storefront::router(api.clone(), &a.config)?;
    let address = ground.http.socket();
    a.servers.push(("storefront and API", address, gateway::public(deps, api, pages)));
    Ok(())
}

/// A service's complete router, as the gateway or its own port serves it.
pub fn mounted(service: &Service) -> (axum::Router, OpenApi) {
    let (routes, document) = service.rest.clone().split_for_parts();
    let router =
        axum::Router::new().nest(platform::http::REST_PREFIX, routes).merge(service.root.clone());
    let router = platform::http::finish(router, service.name, service.ctx.verifier.clone());
    (router, document)
}
