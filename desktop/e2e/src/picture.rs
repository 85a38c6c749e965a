//! The display's picture (XWD, as Xvfb keeps it) as a PNG.

use std::{fs::File, io::BufWriter, path::Path};

use anyhow::{Context, Result, ensure};

/// Bytes of one entry of the colour map.
const COLOUR: usize = 12;

/// Writes a picture of 24 bits in words of 32 (BGRX), the only kind our
/// displays have.
pub fn write_png(xwd: &[u8], path: &Path) -> Result<()> {
    // Fields by their place in the header, see X11/XWDFile.h.
    let field = |place: usize| -> Result<usize> {
        let bytes = xwd.get(place * 4..place * 4 + 4).context("a header that breaks off")?;
        Ok(u32::from_be_bytes(bytes.try_into()?) as usize)
    };
    let (header, width, height) = (field(0)?, field(4)?, field(5)?);
    let (bits, row, colours) = (field(11)?, field(12)?, field(19)?);
    ensure!(field(1)? == 7 && bits == 32, "not a picture of this kind");
    let start = header + colours * COLOUR;
    let pixels = xwd.get(start..start + row * height).context("a picture that breaks off")?;
    let rgb: Vec<u8> = pixels
        .chunks_exact(row)
        .flat_map(|line| line[..width * 4].chunks_exact(4))
        .flat_map(|pixel| [pixel[2], pixel[1], pixel[0]])
        .collect();

    let file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(file, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header()?.write_image_data(&rgb)?;
    Ok(())
}
