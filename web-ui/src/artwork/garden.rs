//! The half of the house without a roof.

use super::canvas::{CLAY, CREAM, Canvas, INK, LEAF, OLIVE, PINE, SEA, STONE, VERMILION, WOOD};
use super::scenes;

pub fn planter(c: &mut Canvas) {
    c.shadow(0.0, 150.0);
    for degrees in [-58.0_f64, -36.0, -16.0, 4.0, 22.0, 44.0, 62.0] {
        let length = c.between(220.0, 330.0) - degrees.abs() * 0.9;
        let leaf = c.one_of([LEAF, PINE, "#6d8a5a"]);
        c.twig(degrees * 0.7, -236.0, degrees, length, leaf);
    }
    c.solid("M-150 -250H150L116 -16C114 -4 100 0 0 0C-100 0 -114 -4 -116 -16Z", CLAY);
    c.block([-172.0, -290.0, 344.0, 62.0], 8.0, "#c4735a");
    c.veil("M-150 -228H150L148 -214H-148Z", "#1d1020", 0.2);
    c.line(
        "M-120 -120C-60 -106 60 -106 120 -120M-124 -146C-60 -132 60 -132 124 -146",
        "#d99477",
        6.0,
    );
}

pub fn watering_can(c: &mut Canvas) {
    let body = c.one_of(["#2f5d50", VERMILION, SEA, "#8d9b79"]);
    c.shadow(-10.0, 190.0);
    c.line("M70 -300C250 -300 240 -80 128 -70", body, 22.0);
    c.line("M-110 -290C-90 -420 80 -420 96 -290", body, 20.0);
    c.solid("M-120 -120L-268 -330L-232 -352L-100 -210Z", body);
    c.solid("M-300 -318L-226 -396L-206 -380L-248 -308Z", body);
    c.line("M-296 -324L-222 -400", "#b08d4f", 12.0);
    c.solid(
        "M-130 -292C-60 -306 60 -306 130 -292L150 -18C150 -4 90 0 0 0C-90 0 -150 -4 -150 -18Z",
        body,
    );
    c.ellipse([0.0, -292.0, 130.0, 16.0], "#25362f");
    c.veil("M-150 -60C-60 -46 60 -46 150 -60V-44C60 -30 -60 -30 -150 -44Z", "#fff", 0.18);
    for (x, y) in [(-300.0, -260.0), (-326.0, -214.0), (-284.0, -186.0), (-332.0, -130.0)] {
        c.leaf(x, y, 180.0, 26.0, "#a8c7cb");
    }
    c.raw("<g transform=\"translate(-290 28)\">");
    for degrees in [-30.0, -6.0, 20.0] {
        c.twig(0.0, 0.0, degrees, 76.0, LEAF);
    }
    c.raw("</g>");
}

/// A whole picture: meadow, hills, a house on a pole.
pub fn bird_house(c: &mut Canvas) {
    c.rect([0.0, 0.0, 800.0, 1000.0], 0.0, "#dbe5e2");
    c.ellipse([590.0, 250.0, 92.0, 92.0], "#f0c58f");
    c.flat("M0 640C160 520 320 560 460 610C600 660 720 600 800 570V1000H0Z", "#a9b98f");
    for (x, y, size) in [(86.0, 640.0, 190.0), (146.0, 650.0, 150.0), (716.0, 660.0, 170.0)] {
        scenes::cypress(c, x, y, size);
    }
    c.flat("M0 800C220 730 460 740 800 800V1000H0Z", OLIVE);
    c.block([382.0, 560.0, 36.0, 440.0], 2.0, "#8f6238");
    c.raw("<g transform=\"translate(400 590)\">");
    let wall = c.one_of([CREAM, "#e6b894", VERMILION]);
    c.solid("M-132 -220L0 -340L132 -220V0H-132Z", wall);
    c.line("M-130 -150H130M-130 -80H130", "#1d102016", 4.0);
    c.ellipse([0.0, -178.0, 46.0, 46.0], INK);
    c.block([-8.0, -112.0, 16.0, 18.0], 4.0, WOOD);
    c.line("M0 -100H-46", WOOD, 13.0);
    c.solid(
        "M-186 -196L0 -366L186 -196L160 -168L0 -314L-160 -168Z",
        if wall == VERMILION { PINE } else { CLAY },
    );
    c.block([-158.0, -6.0, 316.0, 26.0], 4.0, WOOD);
    c.raw("</g>");
    // A sparrow on its way in.
    c.raw("<g transform=\"translate(214 416)\">");
    c.solid("M-58 6C-40 -34 20 -40 46 -14C66 -14 70 -6 84 -4C68 6 62 6 54 10C40 40 -16 46 -44 26L-108 44Z", "#8a6a4c");
    c.veil("M-30 8C-6 -14 24 -10 30 8C10 26 -16 24 -30 8Z", "#5c4632", 0.9);
    c.ellipse([50.0, -8.0, 4.5, 4.5], INK);
    c.raw("</g>");
    for n in 0..26 {
        let x = f64::from(n) * 32.0 + c.between(-14.0, 14.0);
        let (y, lean) = (c.between(940.0, 1000.0), c.between(-16.0, 16.0));
        let leaf = c.one_of([LEAF, PINE, "#8d9b62"]);
        c.leaf(x, y, lean, 90.0, leaf);
    }
    for (x, y) in [(120.0, 900.0), (250.0, 936.0), (566.0, 912.0), (690.0, 940.0)] {
        c.ellipse([x, y, 13.0, 13.0], CREAM);
        c.ellipse([x, y, 5.0, 5.0], "#d8a13f");
    }
    c.ellipse([470.0, 952.0, 34.0, 16.0], STONE);
}
