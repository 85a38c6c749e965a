//! Migrations are part of the program.

fn main() {
    println!("cargo:rerun-if-changed=../../../migrations/payments");
    println!("cargo:rerun-if-changed=../../../migrations/payment_simulator");
}
