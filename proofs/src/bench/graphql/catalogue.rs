//! The catalogue that is asked for: made once through REST, found again by later
//! runs, and the same every time, so that every answer can be checked.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shared_types::catalog::{Availability, Product, ProductInput, ProductStatus, VariantInput};
use shared_types::{Amount, Currency, Page};

use crate::client::{Call, Shop};
use crate::credentials::Renewing;

const AT_ONCE: usize = 8;
const PAGE: u16 = 200;
/// Units of a variant: more than anybody looks at.
const UNITS: i64 = 1_000_000;
/// Opening stock follows a product by event.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE: Duration = Duration::from_millis(500);

/// How many products there are, and of what size.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub products: u32,
    /// Variants of each.
    pub variants: u16,
}

/// A product of the catalogue, as every answer has to show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The id as REST has it.
    pub id: String,
    number: u32,
    variants: u16,
}

impl Shown {
    pub fn title(&self) -> String {
        title(self.variants, self.number)
    }

    /// Sku and price of each variant, in order.
    pub fn variants(&self) -> impl Iterator<Item = (String, String)> {
        (0..self.variants)
            .map(|n| (sku(self.variants, self.number, n), amount(cents(self.number, n))))
    }

    #[cfg(test)]
    pub fn of(id: &str, number: u32, variants: u16) -> Self {
        Shown { id: id.to_owned(), number, variants }
    }
}

fn category(variants: u16) -> String {
    format!("graph-bench-{variants}")
}

fn title(variants: u16, number: u32) -> String {
    format!("Graph bench {variants} no {number}")
}

fn number_of(variants: u16, told: &str) -> Option<u32> {
    told.strip_prefix(&format!("Graph bench {variants} no "))?.parse().ok()
}

fn sku(variants: u16, number: u32, variant: u16) -> String {
    format!("graph-bench-{variants}-{number}-{variant}")
}

/// Prices differ, so that a neighbour's answer cannot pass for the right one.
fn cents(number: u32, variant: u16) -> i64 {
    1_000 + i64::from(number % 9_000) * 10 + i64::from(variant) * 7
}

fn amount(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// Makes what is missing and waits until all of it can be sold.
pub async fn open(shop: &Shop, merchant: &Renewing, plan: Plan) -> anyhow::Result<Vec<Shown>> {
    let there = sold(shop, plan).await?;
    let missing: Vec<u32> = (0..plan.products).filter(|n| !there.contains_key(n)).collect();
    if !missing.is_empty() {
        println!("making {} products of {} variants", missing.len(), plan.variants);
    }
    stream::iter(missing)
        .map(|number| make(shop, merchant, plan.variants, number))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let there = sold(shop, plan).await?;
        let stocked = there.values().filter(|(_, stocked)| *stocked).count();
        if stocked == plan.products as usize {
            let shown = |(number, (id, _))| Shown { id, number, variants: plan.variants };
            return Ok(there.into_iter().map(shown).collect());
        }
        let all = plan.products;
        ensure!(Instant::now() < deadline, "{stocked} of {all} products of the catalogue are sold");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn make(shop: &Shop, merchant: &Renewing, variants: u16, number: u32) -> anyhow::Result<()> {
    let input = ProductInput {
        title: title(variants, number),
        description: "Made by a benchmark, which finds it again; it may be archived.".to_owned(),
        categories: vec![category(variants)],
        status: Some(ProductStatus::Active),
        media: Vec::new(),
        variants: (0..variants).map(|n| variant(variants, number, n)).collect(),
    };
    let call = Call::post("/products", &input)?
        .by(merchant.get().await?)
        .key(format!("{}-{number}", category(variants)));
    let answer = shop.patiently(&call).await?;
    if answer.status.as_u16() != 201 {
        bail!("making product {number} of the catalogue: {}", answer.complaint());
    }
    Ok(())
}

fn variant(variants: u16, number: u32, variant: u16) -> VariantInput {
    VariantInput {
        sku: sku(variants, number, variant),
        title: format!("Size {variant}"),
        price: Some(Amount::new(cents(number, variant), 2)),
        currency: Some(Currency::USD),
        stock: Some(UNITS),
        options: BTreeMap::from([("size".to_owned(), variant.to_string())]),
        ..VariantInput::default()
    }
}

/// Id of every product of the plan that is there, by number, and whether all of it
/// is in stock.
async fn sold(shop: &Shop, plan: Plan) -> anyhow::Result<BTreeMap<u32, (String, bool)>> {
    let mut there = BTreeMap::new();
    let mut after: Option<String> = None;
    loop {
        let cursor = after.map(|after| format!("&after={after}")).unwrap_or_default();
        let path = format!(
            "/products?category={}&sort=title&first={PAGE}{cursor}",
            category(plan.variants)
        );
        let answer = shop.patiently(&Call::get(path)).await?;
        let page: Page<Product> = answer.expect(&[200], "reading the catalogue")?;
        for product in page.items {
            let number = number_of(plan.variants, &product.title)
                .with_context(|| format!("{:?} is no product of this bench", product.title))?;
            let in_stock =
                |v: &shared_types::catalog::Variant| v.availability == Availability::InStock;
            let stocked = product.variants.iter().all(in_stock);
            if number < plan.products {
                there.insert(number, (product.id.to_string(), stocked));
            }
        }
        after = page.page_info.end_cursor.filter(|_| page.page_info.has_next_page);
        if after.is_none() {
            return Ok(there);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_is_found_again_by_its_title_and_neighbours_differ_in_price() {
        assert_eq!(number_of(4, &title(4, 2_499)), Some(2_499));
        assert_eq!(number_of(4, &title(5, 1)), None);
        let shown = Shown::of("x", 12, 2);
        let variants: Vec<_> = shown.variants().collect();
        assert_eq!(variants[0], ("graph-bench-2-12-0".to_owned(), "11.20".to_owned()));
        assert_eq!(variants[1].1, "11.27");
    }
}
