//! What makes a product right. Pure rules.

use std::collections::{BTreeMap, HashSet};

use platform::validate::Checks;
use shared_types::catalog::{Availability, Media, ProductInput, ProductStatus, VariantInput};
use shared_types::{Currency, Money, Sku, VariantId};

pub const MAX_VARIANTS: usize = 100;
const MAX_CATEGORIES: usize = 20;
const MAX_MEDIA: usize = 20;
const MAX_OPTIONS: usize = 10;
/// More units than this of one variant is a slip of the finger.
const MAX_STOCK: i64 = 1_000_000_000;

/// A product whose fields are right.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    pub title: String,
    pub description: String,
    /// Name and slug, in the merchant's order, each once.
    pub categories: Vec<(String, String)>,
    pub status: ProductStatus,
    pub media: Vec<Media>,
    pub variants: Vec<DraftVariant>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct DraftVariant {
    pub id: Option<VariantId>,
    pub sku: Sku,
    pub title: String,
    pub price: Money,
    /// Opening stock, when it was given.
    pub stock: Option<i64>,
    pub options: BTreeMap<String, String>,
}

/// Checks an input; every wrong field goes into `checks`.
pub fn draft(input: ProductInput, checks: &mut Checks) -> Option<Draft> {
    let title = checks.text("title", &input.title, 1..=200);
    let description = checks.text("description", &input.description, 0..=20_000);
    let categories = categories(&input.categories, checks);
    checks.ensure(
        input.media.len() <= MAX_MEDIA,
        "media",
        "too_many",
        "may have at most 20 entries",
    );
    for (i, media) in input.media.iter().enumerate() {
        let local = media.url.starts_with('/') && !media.url.starts_with("//");
        if !local && !media.url.starts_with("https://") {
            let message = "must be a path of the shop or an https address";
            checks.fail(format!("media[{i}].url"), "invalid", message);
        }
        checks.text(&format!("media[{i}].url"), &media.url, 1..=2_000);
        checks.text(&format!("media[{i}].alt"), &media.alt, 0..=500);
    }
    let variants = variants(&input.variants, checks);
    if !checks.is_empty() {
        return None;
    }
    let status = input.status.unwrap_or(ProductStatus::Draft);
    Some(Draft { title, description, categories, status, media: input.media, variants })
}

fn categories(given: &[String], checks: &mut Checks) -> Vec<(String, String)> {
    let fits = given.len() <= MAX_CATEGORIES;
    checks.ensure(fits, "categories", "too_many", "may have at most 20 entries");
    let mut seen = HashSet::new();
    let mut categories = Vec::new();
    for (i, name) in given.iter().take(MAX_CATEGORIES).enumerate() {
        let field = format!("categories[{i}]");
        let name = checks.text(&field, name, 1..=80);
        let slug = slug_of(&name);
        if !name.is_empty() && slug.is_empty() {
            checks.fail(field, "invalid", "needs at least one letter or digit");
        } else if seen.insert(slug.clone()) {
            categories.push((name, slug));
        }
    }
    categories
}

fn variants(given: &[VariantInput], checks: &mut Checks) -> Vec<DraftVariant> {
    checks.ensure(!given.is_empty(), "variants", "required", "needs at least one variant");
    let fits = given.len() <= MAX_VARIANTS;
    checks.ensure(fits, "variants", "too_many", "may have at most 100 entries");
    let mut skus = HashSet::new();
    let mut currency: Option<Currency> = None;
    let mut variants = Vec::new();
    for (i, input) in given.iter().take(MAX_VARIANTS).enumerate() {
        let Some(variant) = variant(i, input, checks) else { continue };
        if !skus.insert(variant.sku.key()) {
            checks.fail(format!("variants[{i}].sku"), "duplicate", "is used by another variant");
        }
        if *currency.get_or_insert(variant.price.currency) != variant.price.currency {
            let message = "must be the same for all variants of a product";
            checks.fail(format!("variants[{i}].currency"), "mixed", message);
        }
        variants.push(variant);
    }
    variants
}

fn variant(i: usize, input: &VariantInput, checks: &mut Checks) -> Option<DraftVariant> {
    let at = |name: &str| format!("variants[{i}].{name}");
    let sku = checks.parse::<Sku>(&at("sku"), &input.sku);
    let title = checks.text(&at("title"), &input.title, 0..=200);
    let amount = checks.required(&at("price"), input.price);
    let currency = checks.required(&at("currency"), input.currency);
    let price = amount.zip(currency).and_then(|(amount, currency)| {
        if amount.is_negative() {
            checks.fail(at("price"), "negative", "may not be negative");
            return None;
        }
        amount
            .in_currency(currency)
            .map_err(|error| checks.fail(at("price"), "digits", error.to_string()))
            .ok()
    });
    if let Some(stock) = input.stock {
        let fits = (0..=MAX_STOCK).contains(&stock);
        checks.ensure(fits, &at("stock"), "range", "must be from 0 to 1,000,000,000");
    }
    let few = input.options.len() <= MAX_OPTIONS;
    checks.ensure(few, &at("options"), "too_many", "may have at most 10 entries");
    for (name, value) in &input.options {
        let right = (1..=50).contains(&name.chars().count()) && value.chars().count() <= 100;
        checks.ensure(right, &at("options"), "too_long", "names to 50, values to 100 characters");
        let plain = !name.chars().chain(value.chars()).any(char::is_control);
        checks.ensure(plain, &at("options"), "characters", "hold control characters");
    }
    let (id, stock, options) = (input.id, input.stock, input.options.clone());
    Some(DraftVariant { id, sku: sku?, title, price: price?, stock, options })
}

/// Lower-case letters and digits with single hyphens between, at most 80.
pub fn slug_of(text: &str) -> String {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase).flat_map(plain) {
        if c.is_ascii_alphanumeric() {
            slug.push(c);
        } else if !slug.ends_with('-') && !slug.is_empty() {
            slug.push('-');
        }
        if slug.len() >= 80 {
            break;
        }
    }
    slug.trim_end_matches('-').to_owned()
}

/// Common lower-case letters with marks, without them.
fn plain(c: char) -> Vec<char> {
    let text = match c {
        'ä' => "ae",
        'ö' => "oe",
        'ü' => "ue",
        'ß' => "ss",
        'à' | 'á' | 'â' | 'ã' | 'å' => "a",
        'ç' => "c",
        'è' | 'é' | 'ê' | 'ë' => "e",
        'ì' | 'í' | 'î' | 'ï' => "i",
        'ñ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' => "o",
        'ù' | 'ú' | 'û' => "u",
        _ => return vec![c],
    };
    text.chars().collect()
}

/// What shoppers see of `available` units.
pub fn band(available: i64, low_at: i64) -> Availability {
    match available {
        ..=0 => Availability::Out,
        n if n <= low_at => Availability::Low,
        _ => Availability::InStock,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> ProductInput {
        serde_json::from_str(
            r#"{"title":"Lamp","categories":["Lighting","lighting"],
                "variants":[{"sku":"L-1","price":25.00,"currency":"USD","stock":3}]}"#,
        )
        .unwrap()
    }

    fn wrong(input: ProductInput) -> Vec<String> {
        let mut checks = Checks::new();
        assert_eq!(draft(input, &mut checks), None);
        checks.into_errors().into_iter().map(|e| format!("{} {}", e.field, e.code)).collect()
    }

    #[test]
    fn a_category_named_twice_counts_once() {
        let draft = draft(input(), &mut Checks::new()).unwrap();
        assert_eq!(draft.categories, [("Lighting".to_owned(), "lighting".to_owned())]);
        assert_eq!(draft.variants[0].price, Money::new(2_500, Currency::USD));
        assert_eq!(draft.status, ProductStatus::Draft);
    }

    #[test]
    fn every_wrong_field_is_named_with_its_place() {
        let mut bad = input();
        bad.title.clear();
        bad.variants.push(VariantInput {
            sku: "l-1".into(),
            price: "1.234".parse().ok(),
            currency: Some(Currency::USD),
            stock: Some(-1),
            ..VariantInput::default()
        });
        bad.variants.push(VariantInput::default());
        let named = wrong(bad);
        for field in [
            "title required",
            "variants[1].price digits",
            "variants[1].stock range",
            "variants[2].sku required",
            "variants[2].price required",
            "variants[2].currency required",
        ] {
            assert!(named.contains(&field.to_owned()), "{field} not in {named:?}");
        }
    }

    #[test]
    fn skus_that_differ_only_in_case_are_one_sku() {
        let mut bad = input();
        let mut twin = bad.variants[0].clone();
        twin.sku = "l-1".into();
        bad.variants.push(twin);
        assert_eq!(wrong(bad), ["variants[1].sku duplicate"]);
    }

    #[test]
    fn slugs_are_short_and_plain() {
        assert_eq!(slug_of("  Große Vase — №3, \"Été\" "), "grosse-vase-3-ete");
        assert_eq!(slug_of("---"), "");
        assert!(slug_of(&"x".repeat(300)).len() <= 80);
    }

    #[test]
    fn shoppers_see_bands() {
        assert_eq!(band(0, 5), Availability::Out);
        assert_eq!(band(-3, 5), Availability::Out);
        assert_eq!(band(5, 5), Availability::Low);
        assert_eq!(band(6, 5), Availability::InStock);
    }
}
