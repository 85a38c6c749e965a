//! `bellavista healthcheck`: for containers without a shell.

use std::time::Duration;

use platform::config::Config;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(3);

pub async fn run(config: &Config) -> anyhow::Result<()> {
    let address = config.ground.internal.socket();
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .await?;
        let mut answer = [0u8; 12];
        stream.read_exact(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = tokio::time::timeout(LIMIT, ask)
        .await
        .map_err(|_| anyhow::anyhow!("{address} did not answer within {} s", LIMIT.as_secs()))??;
    anyhow::ensure!(answer.ends_with(b" 200"), "not ready: {}", String::from_utf8_lossy(&answer));
    Ok(())
}
