//! The migrations are part of the program: a change of theirs is a change of it.

fn main() {
    println!("cargo:rerun-if-changed=../../../migrations/cart");
}
