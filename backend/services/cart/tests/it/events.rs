//! What cart learns from products, prices and orders.

use contracts::events::cart::CartCheckedOut;
use contracts::events::orders::{Amounts, OrderCreated, OrderedItem, Reservation};
use contracts::events::products::PriceChanged;
use platform::consumer::HandleError;
use platform::testing::outbox_of;
use shared_types::catalog::ProductStatus;
use shared_types::{Amount, CartId, Currency, GuestId, Money, ProductId};

use crate::shop::{Shop, contents, lines, shop, sku, usd};

fn price(product: ProductId, name: &str, new: Money, version: i64) -> PriceChanged {
    PriceChanged {
        product_id: product,
        sku: sku(name),
        old: None,
        new: new.amount(),
        currency: new.currency,
        valid_from: "2026-11-20T10:00:00Z".parse().unwrap(),
        price_book_version: version,
    }
}

async fn shown(shop: &Shop, token: &str) -> (Amount, Vec<String>) {
    let item = shop.cart(token).await.items.remove(0);
    (item.price, item.notices.into_iter().map(|n| n.code).collect())
}

#[tokio::test]
async fn a_changed_price_is_shown_flagged_and_older_news_ignored() {
    let shop = shop().await;
    let product = shop.sell(&[("a", usd(1_000))]).await;
    let (_, token) = shop.guest();
    shop.add(&token, "a", 1).await.expect(201);
    assert_eq!(shown(&shop, &token).await, (usd(1_000).amount(), vec![]));
    let deliver = async |event: PriceChanged| {
        shop.bench.deliver(&shop.consumer, &event).await.expect("heard");
    };
    deliver(price(product, "a", usd(1_200), 3)).await;
    let changed = vec!["price_changed".to_owned()];
    assert_eq!(shown(&shop, &token).await, (usd(1_200).amount(), changed.clone()));
    deliver(price(product, "a", usd(900), 2)).await;
    let older = shop.product(product, 2, &[("a", usd(900))]);
    shop.bench.deliver(&shop.consumer, &older).await.expect("heard");
    assert_eq!(shown(&shop, &token).await, (usd(1_200).amount(), changed));
    let newer = shop.product(product, 4, &[("a", usd(1_300))]);
    shop.bench.deliver(&shop.consumer, &newer).await.expect("heard");
    shop.bench.deliver(&shop.consumer, &older).await.expect("heard");
    assert_eq!(shown(&shop, &token).await.0, usd(1_300).amount());
    // Adding more accepts the price of today.
    shop.add(&token, "a", 1).await.expect(201);
    assert_eq!(shown(&shop, &token).await, (usd(1_300).amount(), vec![]));
}

#[tokio::test]
async fn what_is_no_longer_sold_stays_visible_but_is_not_counted() {
    let shop = shop().await;
    let product = shop.sell(&[("a", usd(1_000)), ("b", usd(500))]).await;
    let (_, token) = shop.guest();
    shop.add(&token, "a", 1).await.expect(201);
    shop.add(&token, "b", 1).await.expect(201);
    let without_a = shop.product(product, 2, &[("b", usd(500))]);
    shop.bench.deliver(&shop.consumer, &without_a).await.expect("heard");
    assert_eq!(shown(&shop, &token).await.1, ["not_for_sale"]);
    assert_eq!(shop.cart(&token).await.amounts.subtotal, usd(500).amount());
    let mut archived = shop.product(product, 3, &[("b", usd(500))]);
    archived.status = ProductStatus::Archived;
    shop.bench.deliver(&shop.consumer, &archived).await.expect("heard");
    let cart = shop.cart(&token).await;
    assert_eq!((cart.items.len(), cart.amounts.total), (2, Amount::default()));
    shop.add(&token, "b", 1).await.expect_problem(422, "cart.not_for_sale");
}

#[tokio::test]
async fn a_price_that_cannot_be_is_poison() {
    let shop = shop().await;
    let product = shop.sell(&[("a", usd(1_000))]).await;
    let mut odd = price(product, "a", usd(1), 2);
    odd.new = Amount::new(12_345, 3);
    let outcome = shop.bench.deliver(&shop.consumer, &odd).await;
    assert!(matches!(outcome, Err(HandleError::Poison { .. })));
}

fn order(
    shop: &Shop,
    guest: GuestId,
    cart: Option<CartId>,
    ordered: &[(&str, i64)],
) -> OrderCreated {
    let item = |(name, qty): &(&str, i64)| OrderedItem {
        product_id: shop.bench.id(),
        sku: sku(name),
        qty: *qty,
        price: usd(100).amount(),
    };
    OrderCreated {
        order_id: shop.bench.id(),
        order_number: "1001".to_owned(),
        user_id: None,
        guest_id: Some(guest),
        cart_id: cart,
        reservation: Reservation::Held,
        total_amount: usd(690).amount(),
        currency: Currency::USD,
        items: ordered.iter().map(item).collect(),
        amounts: Amounts {
            subtotal: usd(200).amount(),
            discount: Amount::default(),
            tax: Amount::default(),
            shipping: usd(490).amount(),
        },
    }
}

#[tokio::test]
async fn an_order_empties_the_cart_it_came_from() {
    let shop = shop().await;
    shop.sell(&[("a", usd(100)), ("b", usd(100)), ("c", usd(100))]).await;
    let ((guest, token), (_, stranger)) = (shop.guest(), shop.guest());
    shop.add(&token, "a", 1).await.expect(201);
    shop.add(&token, "b", 1).await.expect(201);
    let cart = shop.cart(&token).await.id;
    let foreign = shop.cart(&stranger).await.id;
    for (id, kept) in [(None, 2), (Some(foreign), 2)] {
        let event = order(&shop, guest, id, &[("a", 1), ("b", 1)]);
        shop.bench.deliver(&shop.consumer, &event).await.expect("heard");
        assert_eq!(shop.cart(&token).await.items.len(), kept);
    }
    let event = order(&shop, guest, Some(cart), &[("A", 1), ("b", 1)]);
    // Put in after the order was placed, before its event came.
    shop.add(&token, "c", 3).await.expect(201);
    shop.bench.deliver(&shop.consumer, &event).await.expect("heard");
    shop.bench.deliver(&shop.consumer, &event).await.expect("heard again under another id");
    assert_eq!(contents(&shop.cart(&token).await), lines(&[("c", 3)]));
    let told = outbox_of::<CartCheckedOut>(shop.bench.pool()).await;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].cart_id, told[0].order_id), (cart, event.order_id));
    assert_eq!(told[0].lines.len(), 2);
    assert_eq!(told[0].value, usd(200).amount());
}
