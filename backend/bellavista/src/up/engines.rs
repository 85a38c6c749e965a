//! `bellavista engines`: fetches or builds every engine and says where it is.

#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use platform::engines::postgres::binaries::Binaries;
use platform::engines::{Progress, binary, pins};

use super::EngineArgs;

pub async fn engines(args: &EngineArgs) -> anyhow::Result<()> {
    let sources = args.sources()?;
    let progress = Progress::new(|line| println!("{line}"));
    for pin in pins::pins()?.values() {
        let program = binary::resolve(pin, &sources, &progress).await?;
        println!("{} {} {}", pin.name, pin.version, program.display());
    }
    let postgres = Binaries::newest()?;
    println!("postgresql {} {}", postgres.major, postgres.program("postgres").display());
    Ok(())
}
