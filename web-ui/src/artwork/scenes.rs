//! Rooms to stand things in, and the large pictures without a product.

use super::canvas::{CLAY, CREAM, Canvas, LEAF, OLIVE, PINE, Palette, SEA, STONE, VERMILION};
use super::vessels;

/// A wall with one quiet shape, and a table from `edge` down.
pub fn wall_and_table(c: &mut Canvas, edge: f64) {
    let (w, h) = (c.width, c.height);
    let palette = c.palette;
    c.rect([0.0, 0.0, w, h], 0.0, palette.wall);
    match (c.chance() * 4.0) as u32 {
        0 => {
            // An arch in the wall.
            let (x, r) = (w * c.between(0.44, 0.58), (w * 0.31).min(h * 0.33));
            let top = edge - h * 0.36;
            c.flat(
                &format!("M{} {edge}V{top}A{r} {r} 0 0 1 {} {top}V{edge}Z", x - r, x + r),
                palette.shape,
            );
        }
        1 => {
            let (x, y) = (w * c.between(0.3, 0.7), edge - h * c.between(0.34, 0.42));
            let r = (w * 0.29).min(h * 0.31);
            c.ellipse([x, y, r, r], palette.shape);
        }
        2 => {
            // Light from a window, slanting over the wall.
            let x = w * c.between(0.2, 0.34);
            for pane in [0.0, 1.0] {
                let left = x + pane * w * 0.24;
                c.veil(
                    &format!(
                        "M{left:.0} {:.0}L{:.0} {:.0}V{:.0}L{left:.0} {:.0}Z",
                        h * 0.16,
                        left + w * 0.2,
                        h * 0.1,
                        h * 0.5,
                        h * 0.57
                    ),
                    palette.shape,
                    0.85,
                );
            }
        }
        _ => {
            let y = edge - h * c.between(0.36, 0.46);
            c.rect([0.0, y, w, edge - y], 0.0, palette.shape);
        }
    }
    c.rect([0.0, edge, w, h - edge], 0.0, palette.table);
    c.veil(
        &format!("M0 {edge}H{w}V{}H0Z", edge + 9.0),
        "#fff",
        if palette.evening { 0.06 } else { 0.22 },
    );
    c.rect([0.0, edge, w, h - edge], 0.0, "url(#s)");
}

/// A wall with a skirting board at `floor`.
pub fn plain_wall(c: &mut Canvas, floor: f64) {
    let (w, h) = (c.width, c.height);
    let palette = c.palette;
    c.rect([0.0, 0.0, w, h], 0.0, palette.wall);
    c.veil(&format!("M0 0H{:.0}L{:.0} {floor}H0Z", w * 0.62, w * 0.18), "#fff", 0.2);
    c.rect([0.0, floor, w, h - floor], 0.0, palette.shape);
    c.veil(&format!("M0 {floor}H{w}V{}H0Z", floor + 8.0), "#fff", 0.3);
}

/// Sky, sun, sea and hills inside a rectangle.
pub fn view(c: &mut Canvas, [x, y, w, h]: [f64; 4]) {
    let sea = y + h * 0.62;
    c.raw(
        "<linearGradient id=\"sky\" x2=\"0\" y2=\"1\"><stop offset=\"0\" stop-color=\"#a9c3c8\"/>\
         <stop offset=\".55\" stop-color=\"#f0dcc0\"/><stop offset=\"1\" stop-color=\"#efb08c\"/></linearGradient>",
    );
    c.rect([x, y, w, sea - y + 1.0], 0.0, "url(#sky)");
    let (sun_x, sun) = (x + w * 0.63, w * 0.1);
    c.ellipse([sun_x, sea - sun * 0.62, sun, sun], VERMILION);
    c.veil(
        &format!(
            "M{x} {sea:.0}C{:.0} {:.0} {:.0} {:.0} {:.0} {sea:.0}Z",
            x + w * 0.14,
            sea - h * 0.16,
            x + w * 0.3,
            sea - h * 0.1,
            x + w * 0.52
        ),
        "#7f8f97",
        0.9,
    );
    c.rect([x, sea, w, y + h - sea], 0.0, SEA);
    for n in 0..5 {
        let n = f64::from(n);
        let half = sun * (0.95 - n * 0.13);
        let line = sea + h * (0.022 + n * 0.034);
        c.line(
            &format!("M{:.0} {line:.0}H{:.0}", sun_x - half, sun_x + half),
            "#f0b492",
            h * 0.009,
        );
    }
    let hill = y + h;
    c.flat(
        &format!(
            "M{x} {:.0}C{:.0} {:.0} {:.0} {:.0} {:.0} {hill:.0}H{x}Z",
            sea + h * 0.1,
            x + w * 0.2,
            sea + h * 0.02,
            x + w * 0.36,
            sea + h * 0.26,
            x + w * 0.6
        ),
        OLIVE,
    );
    c.flat(
        &format!(
            "M{:.0} {hill:.0}C{:.0} {:.0} {:.0} {:.0} {:.0} {:.0}V{hill:.0}Z",
            x + w * 0.3,
            x + w * 0.6,
            sea + h * 0.26,
            x + w * 0.8,
            sea + h * 0.14,
            x + w,
            sea + h * 0.12
        ),
        LEAF,
    );
    for (along, size) in [(0.1, 1.0), (0.165, 0.76), (0.9, 0.66)] {
        cypress(c, x + w * along, sea + h * 0.16, h * 0.24 * size);
    }
}

/// A cypress standing here.
pub fn cypress(c: &mut Canvas, x: f64, y: f64, height: f64) {
    let half = height * 0.11;
    c.flat(
        &format!(
            "M{x:.1} {:.1}C{:.1} {:.1} {:.1} {:.1} {x:.1} {y:.1}C{:.1} {:.1} {:.1} {:.1} {x:.1} {:.1}Z",
            y - height, x + half * 1.2, y - height * 0.6, x + half * 1.3, y - height * 0.04,
            x - half * 1.3, y - height * 0.04, x - half * 1.2, y - height * 0.6, y - height
        ),
        PINE,
    );
}

/// A large picture by name; any other name is the empty table.
pub fn scene(name: &str) -> String {
    match name {
        "bellavista" => open_window(),
        "quiet" => quiet(),
        "door" => door(),
        _ => empty_table(),
    }
}

fn arch(x: f64, top: f64, half: f64, bottom: f64) -> String {
    let spring = top + half;
    format!("M{} {bottom}V{spring}A{half} {half} 0 0 1 {} {spring}V{bottom}Z", x - half, x + half)
}

fn open_window() -> String {
    let mut c = Canvas::new(1200, 1200, "scene-bellavista-window");
    c.palette = Palette { body: CREAM, second: CLAY, accent: PINE, ..c.palette };
    c.rect([0.0, 0.0, 1200.0, 1200.0], 0.0, "#ecd9c3");
    c.veil("M0 0H760L330 1200H0Z", "#fff", 0.16);
    c.flat(&arch(640.0, 70.0, 424.0, 934.0), "#dcb995");
    let opening = arch(640.0, 100.0, 394.0, 934.0);
    c.within(&opening, |c| view(c, [246.0, 100.0, 788.0, 834.0]));
    c.line("M640 100V934", "#f6ecdd", 15.0);
    c.line("M246 494H1034", "#f6ecdd", 15.0);
    c.line(&opening, "#f6ecdd", 20.0);
    c.block([190.0, 918.0, 900.0, 40.0], 4.0, "#f6ecdd");
    c.rect([0.0, 976.0, 1200.0, 224.0], 0.0, "#b96f50");
    c.veil("M0 976H1200V990H0Z", "#fff", 0.25);
    c.rect([0.0, 976.0, 1200.0, 224.0], 0.0, "url(#s)");
    c.at(340.0, 1086.0, 1.08, vessels::vase);
    c.raw("<g transform=\"translate(690 1100)\">");
    c.shadow(0.0, 74.0);
    c.shadow(150.0, 66.0);
    c.lemon(0.0, 8.0, 70.0);
    c.lemon(146.0, 22.0, 62.0);
    c.leaf(-20.0, -88.0, 58.0, 92.0, LEAF);
    c.raw("</g>");
    c.at(990.0, 1098.0, 0.62, vessels::mugs);
    c.finish()
}

fn quiet() -> String {
    let mut c = Canvas::new(800, 600, "scene-quiet");
    c.rect([0.0, 0.0, 800.0, 600.0], 0.0, "#efe0cc");
    c.within("M60 60H740V540H60Z", |c| view(c, [60.0, 60.0, 680.0, 480.0]));
    c.line("M60 60H740V540H60Z", CREAM, 18.0);
    c.finish()
}

fn empty_table() -> String {
    let mut c = Canvas::new(800, 600, "scene-empty");
    c.rect([0.0, 0.0, 800.0, 600.0], 0.0, "#e9e2d3");
    c.within(&arch(400.0, 60.0, 170.0, 420.0), |c| view(c, [230.0, 60.0, 340.0, 360.0]));
    c.line(&arch(400.0, 60.0, 170.0, 420.0), CREAM, 14.0);
    c.rect([0.0, 440.0, 800.0, 160.0], 0.0, "#c98a68");
    c.rect([0.0, 440.0, 800.0, 160.0], 0.0, "url(#s)");
    c.raw("<g transform=\"translate(560 520)\">");
    c.shadow(0.0, 48.0);
    c.lemon(0.0, 6.0, 46.0);
    c.raw("</g>");
    c.finish()
}

fn door() -> String {
    let mut c = Canvas::new(800, 1000, "scene-door");
    c.rect([0.0, 0.0, 800.0, 1000.0], 0.0, "#e8c6a6");
    c.veil("M0 0H520L180 1000H0Z", "#fff", 0.2);
    c.within(&arch(400.0, 130.0, 220.0, 860.0), |c| view(c, [180.0, 130.0, 440.0, 730.0]));
    c.line(&arch(400.0, 130.0, 220.0, 860.0), CREAM, 22.0);
    c.solid("M180 860V350C150 330 120 320 96 320V900Z", PINE);
    c.solid("M620 860V350C650 330 680 320 704 320V900Z", PINE);
    c.line("M126 420V830M152 426V842", "#24413a", 5.0);
    c.line("M674 420V830M648 426V842", "#24413a", 5.0);
    c.rect([0.0, 860.0, 800.0, 140.0], 0.0, STONE);
    c.flat("M130 860H670L720 912H80Z", "#d9cdbb");
    c.rect([0.0, 860.0, 800.0, 140.0], 0.0, "url(#s)");
    c.raw("<g transform=\"translate(672 930)\">");
    c.shadow(0.0, 60.0);
    for degrees in [-34.0, -12.0, 10.0, 30.0] {
        let length = 170.0;
        c.twig(0.0, -100.0, degrees, length, LEAF);
    }
    c.solid("M-62 -120H62L46 0H-46Z", CLAY);
    c.block([-70.0, -134.0, 140.0, 30.0], 4.0, CLAY);
    c.raw("</g>");
    c.finish()
}
