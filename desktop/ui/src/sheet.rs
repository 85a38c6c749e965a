//! The sheet of shortcuts.

use leptos::{html, prelude::*};

use crate::Desk;

const SHORTCUTS: [(&str, &[(&str, &str)]); 3] = [
    (
        "Everywhere",
        &[
            ("?", "This sheet"),
            ("/", "Find orders"),
            ("g o", "To the orders"),
            ("Esc", "Close, clear"),
        ],
    ),
    (
        "In the list",
        &[
            ("j  ↓", "Next order"),
            ("k  ↑", "Previous order"),
            ("0", "All statuses"),
            ("1 … 7", "Only one status"),
            ("r", "Connect now"),
        ],
    ),
    (
        "Window",
        &[
            ("Ctrl R", "Reload"),
            ("Ctrl ⇧ L", "Light or dark"),
            ("Ctrl ⇧ O", "Sign out"),
            ("Ctrl Q", "Quit"),
        ],
    ),
];

#[component]
pub fn Sheet() -> impl IntoView {
    let desk = expect_context::<Desk>();
    let close = NodeRef::<html::Button>::new();
    Effect::new(move |_| {
        if let Some(button) = close.get() {
            let _ = button.focus();
        }
    });
    view! {
        <Show when=move || desk.sheet.get()>
            <div class="veil" on:click=move |_| desk.sheet.set(false)>
                <section
                    class="sheet"
                    role="dialog"
                    aria-modal="true"
                    aria-labelledby="sheet-title"
                    on:click=move |event| event.stop_propagation()
                >
                    <header>
                        <h2 id="sheet-title">"Keyboard"</h2>
                        <button
                            class="quiet"
                            node_ref=close
                            on:click=move |_| desk.sheet.set(false)
                        >
                            "Close"
                        </button>
                    </header>
                    <div class="sheet-columns">
                        {SHORTCUTS
                            .iter()
                            .map(|(title, keys)| {
                                view! {
                                    <div>
                                        <h3>{*title}</h3>
                                        <dl>
                                            {keys
                                                .iter()
                                                .map(|(key, what)| {
                                                    view! {
                                                        <div>
                                                            <dt>
                                                                <kbd>{*key}</kbd>
                                                            </dt>
                                                            <dd>{*what}</dd>
                                                        </div>
                                                    }
                                                })
                                                .collect_view()}
                                        </dl>
                                    </div>
                                }
                            })
                            .collect_view()}
                    </div>
                </section>
            </div>
        </Show>
    }
}
