//! A cart as the sum of its actions.

use serde::{Deserialize, Serialize};
use shared_types::{CartId, CartItemId, Money, OrderId, Sku};

/// So many lines and units a cart may hold.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub lines: usize,
    pub qty: i64,
}

/// One sku in a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub id: CartItemId,
    pub sku: Sku,
    pub qty: i64,
    /// What it cost when it was last added.
    pub added: Money,
    pub position: i64,
}

/// Something that happened to a cart; stored as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", rename_all_fields = "camelCase")]
pub enum Action {
    /// A new line, or more of one that is there.
    Added {
        item_id: CartItemId,
        sku: Sku,
        qty: i64,
        price_minor: i64,
        currency: shared_types::Currency,
        /// The guest's cart that it came from, when it was merged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<CartId>,
    },
    Changed {
        item_id: CartItemId,
        qty: i64,
    },
    Removed {
        item_id: CartItemId,
    },
    Cleared,
    /// Its lines went into the cart of the person who signed in.
    MergedInto {
        cart_id: CartId,
    },
    /// These units became an order.
    CheckedOut {
        order_id: OrderId,
        lines: Vec<Taken>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    pub sku: Sku,
    pub qty: i64,
}

/// Why something cannot be done to a cart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    TooManyLines,
    TooManyUnits,
    MixedCurrency,
    NoSuchItem,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Basket {
    /// In the order of their adding.
    pub lines: Vec<Line>,
}

impl Basket {
    /// What an action makes of the cart.
    pub fn apply(&mut self, action: &Action) {
        match action {
            Action::Added { item_id, sku, qty, price_minor, currency, .. } => {
                let added = Money::new(*price_minor, *currency);
                if let Some(line) = self.lines.iter_mut().find(|l| l.sku == *sku) {
                    line.qty += qty;
                    line.added = added;
                    return;
                }
                let position = self.lines.iter().map(|l| l.position).max().unwrap_or(0) + 1;
                let line = Line { id: *item_id, sku: sku.clone(), qty: *qty, added, position };
                self.lines.push(line);
            }
            Action::Changed { item_id, qty } => {
                if let Some(line) = self.lines.iter_mut().find(|l| l.id == *item_id) {
                    line.qty = *qty;
                }
            }
            Action::Removed { item_id } => self.lines.retain(|l| l.id != *item_id),
            Action::Cleared | Action::MergedInto { .. } => self.lines.clear(),
            Action::CheckedOut { lines, .. } => {
                for taken in lines {
                    if let Some(line) = self.lines.iter_mut().find(|l| l.sku == taken.sku) {
                        line.qty -= taken.qty;
                    }
                }
                self.lines.retain(|l| l.qty > 0);
            }
        }
    }

    /// Adds `qty` units; the line takes the price of today.
    pub fn add(
        &self,
        item_id: CartItemId,
        sku: &Sku,
        qty: i64,
        price: Money,
        limits: Limits,
    ) -> Result<Action, Refusal> {
        if self.lines.iter().any(|l| l.sku != *sku && l.added.currency != price.currency) {
            return Err(Refusal::MixedCurrency);
        }
        match self.lines.iter().find(|l| l.sku == *sku) {
            Some(line) if line.qty + qty > limits.qty => return Err(Refusal::TooManyUnits),
            None if self.lines.len() >= limits.lines => return Err(Refusal::TooManyLines),
            None if qty > limits.qty => return Err(Refusal::TooManyUnits),
            _ => {}
        }
        Ok(Action::Added {
            item_id,
            sku: sku.clone(),
            qty,
            price_minor: price.minor,
            currency: price.currency,
            from: None,
        })
    }

    /// Sets the units of a line; zero takes it out. None when nothing changes.
    pub fn change(&self, item_id: CartItemId, qty: i64) -> Result<Option<Action>, Refusal> {
        let line = self.lines.iter().find(|l| l.id == item_id).ok_or(Refusal::NoSuchItem)?;
        Ok(match qty {
            0 => Some(Action::Removed { item_id }),
            same if same == line.qty => None,
            qty => Some(Action::Changed { item_id, qty }),
        })
    }

    /// What adds the lines of a guest's cart to this one: units are added up to
    /// the limit, prices stay those of the guest's adding. `fresh` names new lines.
    pub fn take_over(
        &self,
        guest: &Basket,
        from: CartId,
        limits: Limits,
        mut fresh: impl FnMut() -> CartItemId,
    ) -> Result<Vec<Action>, Refusal> {
        let mut actions = Vec::new();
        let mut merged = self.clone();
        for line in &guest.lines {
            let have = merged.lines.iter().find(|l| l.sku == line.sku).map_or(0, |l| l.qty);
            let qty = line.qty.min(limits.qty - have);
            if qty <= 0 {
                continue;
            }
            let mut action = merged.add(fresh(), &line.sku, qty, line.added, limits)?;
            if let Action::Added { from: origin, .. } = &mut action {
                *origin = Some(from);
            }
            merged.apply(&action);
            actions.push(action);
        }
        Ok(actions)
    }

    /// Takes out what was ordered. What was added since stays. None when
    /// nothing of the order is in the cart.
    pub fn check_out(&self, order_id: OrderId, ordered: &[Taken]) -> Option<Action> {
        let mut lines: Vec<Taken> = Vec::new();
        for line in &self.lines {
            let units: i64 = ordered.iter().filter(|o| o.sku == line.sku).map(|o| o.qty).sum();
            let qty = units.min(line.qty);
            if qty > 0 {
                lines.push(Taken { sku: line.sku.clone(), qty });
            }
        }
        (!lines.is_empty()).then_some(Action::CheckedOut { order_id, lines })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use shared_types::Currency;
    use uuid::Uuid;

    const LIMITS: Limits = Limits { lines: 3, qty: 10 };

    fn item(number: u128) -> CartItemId {
        CartItemId(Uuid::from_u128(number))
    }

    fn usd(minor: i64) -> Money {
        Money::new(minor, Currency::USD)
    }

    fn basket(lines: &[(&str, i64)]) -> Basket {
        let mut basket = Basket::default();
        for (number, (sku, qty)) in (1..).zip(lines) {
            let sku = sku.parse().unwrap();
            let action = basket.add(item(number), &sku, *qty, usd(100), LIMITS).unwrap();
            basket.apply(&action);
        }
        basket
    }

    fn contents(basket: &Basket) -> Vec<(&str, i64)> {
        basket.lines.iter().map(|l| (l.sku.as_str(), l.qty)).collect()
    }

    #[test]
    fn limits_hold_for_lines_units_and_currency() {
        let full = basket(&[("a", 1), ("b", 10), ("c", 1)]);
        let add =
            |sku: &str, qty, price| full.add(item(9), &sku.parse().unwrap(), qty, price, LIMITS);
        assert_eq!(add("d", 1, usd(1)), Err(Refusal::TooManyLines));
        assert_eq!(add("B", 1, usd(1)), Err(Refusal::TooManyUnits));
        assert!(add("A", 9, usd(1)).is_ok());
        let euro = Money::new(1, Currency::EUR);
        assert_eq!(add("a", 1, euro), Err(Refusal::MixedCurrency));
        let one = basket(&[("a", 1)]);
        assert!(one.add(item(9), &"A".parse().unwrap(), 1, euro, LIMITS).is_ok());
    }

    #[test]
    fn a_guest_cart_adds_up_to_the_limit() {
        let user = basket(&[("a", 8), ("b", 1)]);
        let guest = basket(&[("A", 5), ("c", 2)]);
        let actions = user.take_over(&guest, CartId(Uuid::nil()), LIMITS, || item(7)).unwrap();
        let mut merged = user.clone();
        actions.iter().for_each(|a| merged.apply(a));
        assert_eq!(contents(&merged), [("a", 10), ("b", 1), ("c", 2)]);
        let many = basket(&[("x", 1), ("y", 1)]);
        let refused = user.take_over(&many, CartId(Uuid::nil()), LIMITS, || item(7));
        assert_eq!(refused, Err(Refusal::TooManyLines));
    }

    #[test]
    fn what_was_added_after_the_order_stays() {
        let mut cart = basket(&[("a", 3), ("b", 2)]);
        let order = OrderId(Uuid::nil());
        let ordered = [
            Taken { sku: "A".parse().unwrap(), qty: 2 },
            Taken { sku: "b".parse().unwrap(), qty: 9 },
        ];
        let action = cart.check_out(order, &ordered).unwrap();
        cart.apply(&action);
        assert_eq!(contents(&cart), [("a", 1)]);
        assert_eq!(cart.check_out(order, &[]), None);
    }

    proptest! {
        #[test]
        fn actions_survive_storage_and_never_leave_empty_lines(
            steps in prop::collection::vec((0..4u8, 0..4u128, 0..12i64), 1..40)
        ) {
            let mut cart = Basket::default();
            let mut log: Vec<String> = Vec::new();
            for (number, (kind, sku, qty)) in (100u128..).zip(steps) {
                let name: Sku = format!("s{sku}").parse().unwrap();
                let line = cart.lines.iter().find(|l| l.sku == name).map(|l| l.id);
                let action = match (kind, line) {
                    (0 | 1, _) if qty > 0 => cart.add(item(number), &name, qty, usd(5), LIMITS).ok(),
                    (2, Some(id)) => cart.change(id, qty.min(LIMITS.qty)).unwrap(),
                    (3, _) => cart.check_out(OrderId(Uuid::nil()), &[Taken { sku: name, qty }]),
                    _ => None,
                };
                let Some(action) = action else { continue };
                cart.apply(&action);
                log.push(serde_json::to_string(&action).unwrap());
                prop_assert!(cart.lines.len() <= LIMITS.lines);
                prop_assert!(cart.lines.iter().all(|l| (1..=LIMITS.qty).contains(&l.qty)));
            }
            let mut replayed = Basket::default();
            for action in &log {
                replayed.apply(&serde_json::from_str(action).unwrap());
            }
            prop_assert_eq!(replayed, cart);
        }
    }
}
