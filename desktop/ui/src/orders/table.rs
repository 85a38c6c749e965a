//! The list itself, and what stands in its place when it is empty.

use desktop_bridge::{Connection, OrderRow};
use leptos::prelude::*;

use crate::{orders::State, words};

#[component]
pub fn Table() -> impl IntoView {
    let state = expect_context::<State>();
    let key = |row: &OrderRow| (row.order_id, row.at, row.status, row.stage);
    view! {
        <div class="list" id="orders" tabindex="-1">
            <table>
                <thead>
                    <tr>
                        <th scope="col">"Order"</th>
                        <th scope="col">"Status"</th>
                        <th scope="col">"Stage"</th>
                        <th scope="col" class="number">"Amount"</th>
                        <th scope="col" class="number">"Changed"</th>
                    </tr>
                </thead>
                <tbody>
                    <For each=move || state.visible.get() key=key let:row>
                        <Row row/>
                    </For>
                </tbody>
            </table>
            <Instead/>
            <Show when=move || state.older.get().is_some() && state.rows.with(|r| !r.is_empty())>
                <button class="quiet older" on:click=move |_| state.load_older()>
                    "Older orders"
                </button>
            </Show>
        </div>
    }
}

#[component]
fn Row(row: OrderRow) -> impl IntoView {
    let state = expect_context::<State>();
    let id = row.order_id;
    let selected = move || state.selected.get() == Some(id);
    let amount = words::amount(&row);
    let number = row.number.clone();
    view! {
        <tr
            id=format!("order-{id}")
            data-order=number
            class=if state.take_fresh(id) { "fresh" } else { "" }
            aria-selected=move || selected().to_string()
            on:click=move |_| state.selected.set(Some(id))
        >
            <th scope="row">{row.number}</th>
            <td>
                <span class=words::status_class(row.status)>{words::status(row.status)}</span>
            </td>
            <td class="stage">{words::stage(row.stage)}</td>
            <td class="number">
                <span class="amount">{amount}</span>
                <span class="currency">{row.currency}</span>
            </td>
            <td class="number time">
                <time datetime=row.at.to_string()>{words::time(row.at)}</time>
            </td>
        </tr>
    }
}

/// Skeleton, emptiness or nothing found.
#[component]
fn Instead() -> impl IntoView {
    let state = expect_context::<State>();
    let none = Memo::new(move |_| state.visible.with(Vec::is_empty));
    let any = Memo::new(move |_| !state.rows.with(Vec::is_empty));
    move || {
        if !none.get() {
            return ().into_any();
        }
        if state.loading.get() {
            return view! {
                <div class="skeleton" aria-hidden="true">
                    {(0..9).map(|_| view! { <div></div> }).collect_view()}
                </div>
            }
            .into_any();
        }
        if any.get() {
            return view! {
                <div class="empty">
                    <h2>"No order fits"</h2>
                    <p>"None of the orders shown here has this number and status."</p>
                    <button class="quiet" on:click=move |_| state.clear_filter()>
                        "Show all orders"
                    </button>
                </div>
            }
            .into_any();
        }
        let away = !matches!(state.feed.get().connection, Connection::Live { .. });
        let (title, text) = if away {
            ("Nothing known yet", "The orders appear as soon as the shop answers.")
        } else {
            ("No orders yet", "The first one appears here the moment it is placed.")
        };
        view! {
            <div class="empty">
                <h2>{title}</h2>
                <p>{text}</p>
            </div>
        }
        .into_any()
    }
}
