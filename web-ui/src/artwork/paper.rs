//! Prints, books, and the pattern for things without a motif.

use super::canvas::{CLAY, CREAM, Canvas, INK, OCHRE, OLIVE, PINE, SEA, VERMILION, WOOD};
use super::scenes;

/// A frame around the origin, with a mount, and a picture in it.
fn framed(c: &mut Canvas, picture: impl FnOnce(&mut Canvas)) {
    let frame = c.one_of([WOOD, INK, "#8f6238"]);
    c.veil("M-222 -300H262L280 370H-196Z", "#1d1020", 0.16);
    c.rect([-244.0, -320.0, 488.0, 640.0], 2.0, frame);
    c.rect([-244.0, -320.0, 488.0, 640.0], 2.0, "url(#v)");
    c.rect([-226.0, -302.0, 452.0, 604.0], 0.0, "#fbf6ec");
    c.within("M-166 -238H166V238H-166Z", picture);
    c.veil("M-226 -302H10L-190 302H-226Z", "#fff", 0.16);
}

pub fn print_horizon(c: &mut Canvas) {
    framed(c, |c| scenes::view(c, [-166.0, -238.0, 332.0, 476.0]));
}

pub fn print_cypresses(c: &mut Canvas) {
    framed(c, |c| {
        c.rect([-166.0, -238.0, 332.0, 476.0], 0.0, "#efd9b4");
        c.ellipse([-70.0, -140.0, 44.0, 44.0], "#e7a04d");
        c.flat("M-166 -20C-90 -90 0 -70 60 -30C110 0 150 -30 166 -44V238H-166Z", "#c9b06c");
        c.flat("M-166 80C-60 10 60 60 166 10V238H-166Z", "#9aa05f");
        c.flat("M-166 160C-40 100 80 170 166 120V238H-166Z", OLIVE);
        c.flat("M-60 238C-20 170 60 150 20 90C0 60 40 30 70 10L78 14C56 40 30 60 46 92C84 160 20 180 6 238Z", "#f3e6cd");
        for (x, y, size) in [
            (-24.0, 150.0, 190.0),
            (92.0, 128.0, 170.0),
            (-6.0, 76.0, 110.0),
            (78.0, 60.0, 96.0),
            (44.0, 22.0, 60.0),
            (96.0, 10.0, 50.0),
        ] {
            scenes::cypress(c, x, y, size);
        }
    });
}

pub fn print_tiles(c: &mut Canvas) {
    framed(c, |c| tiles(c, [-166.0, -238.0], 83.0, 4, 6));
}

/// Quarter circles and diamonds, turned by chance.
fn tiles(c: &mut Canvas, [left, top]: [f64; 2], size: f64, columns: u32, rows: u32) {
    let grounds = [CREAM, "#ecd3b4", "#dfe3d3", CREAM];
    for row in 0..rows {
        for column in 0..columns {
            let (x, y) = (left + f64::from(column) * size, top + f64::from(row) * size);
            let ground = c.one_of(grounds);
            let colour = c.one_of([VERMILION, PINE, SEA, OCHRE, CLAY]);
            let turn = c.one_of([0.0, 90.0, 180.0, 270.0]);
            c.rect([x, y, size + 0.5, size + 0.5], 0.0, ground);
            let half = size / 2.0;
            c.raw(&format!(
                "<g transform=\"translate({} {}) rotate({turn})\">",
                x + half,
                y + half
            ));
            match (c.chance() * 4.0) as u32 {
                0 => c.flat(
                    &format!("M-{half} -{half}H{half}A{size} {size} 0 0 1 -{half} {half}Z"),
                    colour,
                ),
                1 => {
                    c.flat(
                        &format!("M-{half} -{half}A{half} {half} 0 0 0 {half} -{half}Z"),
                        colour,
                    );
                    c.flat(&format!("M-{half} {half}A{half} {half} 0 0 1 {half} {half}Z"), colour);
                }
                2 => c.flat(&format!("M0 -{half}L{half} 0L0 {half}L-{half} 0Z"), colour),
                _ => {
                    c.flat(
                        &format!("M-{half} {half}V0A{half} {half} 0 0 1 {half} 0V{half}Z"),
                        colour,
                    );
                    let (y, r) = (half * 0.4, half * 0.32);
                    c.ellipse([0.0, y, r, r], ground);
                }
            }
            c.raw("</g>");
        }
    }
}

/// A whole picture of tiles, for names without a motif.
pub fn pattern(c: &mut Canvas) {
    c.rect([0.0, 0.0, 800.0, 1000.0], 0.0, CREAM);
    tiles(c, [0.0, 0.0], 200.0, 4, 5);
}

/// One cookery book, standing, with things from the market.
pub fn book_standing(c: &mut Canvas) {
    let cover = c.one_of([VERMILION, PINE, OCHRE]);
    c.shadow(10.0, 190.0);
    c.flat("M182 -508L214 -490V-8L182 0Z", "#efe5d3");
    c.line("M192 -498V-6M202 -494V-8", "#cdbfa6", 2.0);
    c.block([-190.0, -510.0, 372.0, 510.0], 4.0, cover);
    c.veil("M-190 -510H-160V0H-190Z", "#1d1020", 0.22);
    // On the cover: a table, laid, from above.
    c.ellipse([6.0, -210.0, 118.0, 118.0], CREAM);
    c.ellipse([6.0, -210.0, 92.0, 92.0], "#eadbc3");
    c.leaf(-26.0, -180.0, 40.0, 92.0, OLIVE);
    c.leaf(10.0, -168.0, 12.0, 96.0, PINE);
    c.ellipse([38.0, -190.0, 22.0, 22.0], "#d9603f");
    c.line("M-146 -290V-120M152 -290V-120", CREAM, 7.0);
    c.line("M-158 -290V-240M-146 -290V-240M-134 -290V-240M-158 -240H-134", CREAM, 4.0);
    c.line("M-96 -440H108M-60 -402H72", CREAM, 15.0);
    c.line("M-40 -366H52", CREAM, 6.0);
    c.raw("<g transform=\"translate(250 34)\">");
    c.shadow(0.0, 56.0);
    c.lemon(0.0, 0.0, 56.0);
    c.raw("</g>");
}

/// A stack with one book leaning on it.
pub fn books_stacked(c: &mut Canvas) {
    c.shadow(0.0, 230.0);
    let mut y = 0.0;
    for (half, height, colour) in [
        (236.0, 70.0, PINE),
        (216.0, 54.0, CREAM),
        (226.0, 82.0, VERMILION),
        (196.0, 48.0, SEA),
        (206.0, 62.0, OCHRE),
    ] {
        let shift = c.between(-16.0, 16.0);
        c.rect([-half + shift, y - height, half * 2.0, height], 5.0, colour);
        c.rect([half + shift - 28.0, y - height + 7.0, 24.0, height - 14.0], 0.0, "#f3ead9");
        c.line(
            &format!(
                "M{:.0} {:.0}H{:.0}M{:.0} {:.0}H{:.0}",
                -half + shift + 46.0,
                y - height / 2.0,
                -half + shift + 190.0,
                -half + shift + 214.0,
                y - height / 2.0,
                -half + shift + 262.0
            ),
            if colour == CREAM { INK } else { CREAM },
            8.0,
        );
        c.veil(
            &format!("M{0:.0} {1:.0}H{2:.0}V{y}H{0:.0}Z", -half + shift, y - 9.0, half + shift),
            "#1d1020",
            0.16,
        );
        y -= height;
    }
    // A small house on top: the title of the book beneath.
    c.raw(&format!("<g transform=\"translate(-20 {y})\">"));
    c.solid("M-80 0V-96L0 -160L80 -96V0Z", CREAM);
    c.solid("M-100 -86L0 -172L100 -86L86 -72L0 -142L-86 -72Z", CLAY);
    c.rect([-16.0, -62.0, 32.0, 62.0], 14.0, PINE);
    c.rect([-58.0, -84.0, 26.0, 30.0], 2.0, SEA);
    c.rect([32.0, -84.0, 26.0, 30.0], 2.0, SEA);
    c.raw("</g>");
}
