//! A new migration must reach the binary.

fn main() {
    println!("cargo:rerun-if-changed=../../../migrations/orders");
}
