//! Things that hold something: vases, bowls, pots, mugs, boards.

use super::canvas::{CLAY, CREAM, Canvas, INK, LEAF, MIST, OLIVE, STONE, VERMILION, WOOD};

pub fn vase(c: &mut Canvas) {
    let body = c.palette.body;
    c.shadow(0.0, 120.0);
    for degrees in [-34.0, -13.0, 9.0, 30.0] {
        let length = c.between(230.0, 320.0);
        let leaf = c.one_of([OLIVE, LEAF, "#8b9468"]);
        c.twig(degrees * 0.4, -296.0, degrees, length, leaf);
    }
    let d = "M-44 -330C-40 -280 -52 -262 -96 -222C-150 -172 -150 -86 -92 -18C-84 -6 -60 0 0 0C60 0 84 -6 92 -18C150 -86 150 -172 96 -222C52 -262 40 -280 44 -330Z";
    c.solid(d, body);
    let band = c.palette.second;
    c.within(d, |c| {
        c.veil("M-160 -150C-80 -128 80 -128 160 -150V-116C80 -94 -80 -94 -160 -116Z", band, 0.85);
        c.veil("M-160 -98C-80 -76 80 -76 160 -98V-90C80 -68 -80 -68 -160 -90Z", band, 0.85);
        c.flat("M-160 -340H160V10H-160Z", "url(#v)");
    });
    c.ellipse([0.0, -330.0, 44.0, 10.0], "#5a4a40");
    c.line("M-44 -330A44 10 0 0 0 44 -330", "#fff8ec", 3.0);
}

pub fn bowl(c: &mut Canvas) {
    let body = c.palette.body;
    let accent = c.palette.second;
    c.shadow(0.0, 190.0);
    c.ellipse([0.0, -178.0, 236.0, 44.0], "#4e4038");
    for (x, y, size) in [(-112.0, -150.0, 62.0), (96.0, -152.0, 66.0), (-8.0, -168.0, 70.0)] {
        c.lemon(x, y, size);
    }
    c.leaf(40.0, -262.0, 64.0, 96.0, LEAF);
    c.leaf(30.0, -262.0, -40.0, 70.0, OLIVE);
    let d = "M-236 -178C-226 -60 -120 -18 -70 -12L-76 0H76L70 -12C120 -18 226 -60 236 -178A236 44 0 0 1 -236 -178Z";
    c.solid(d, body);
    c.within(d, |c| {
        c.line("M-236 -152A236 44 0 0 0 236 -152", accent, 9.0);
        c.line("M-232 -130A236 44 0 0 0 232 -130", accent, 4.0);
    });
    c.line("M-236 -178A236 44 0 0 0 236 -178", "#fff8ec", 4.0);
}

pub fn moka_pot(c: &mut Canvas) {
    let metal = "#c9c6c2";
    c.shadow(0.0, 110.0);
    c.line("M92 -320C190 -330 196 -250 168 -176", INK, 28.0);
    c.solid("M-118 -338L-152 -362L-108 -376L-84 -330Z", metal);
    // Upper part, waist, lower part: three facets each.
    c.solid("M-112 -366H112L78 -196H-78Z", metal);
    c.veil("M-38 -366H44L30 -196H-26Z", "#fff", 0.32);
    c.veil("M-112 -366H-38L-26 -196H-78Z", "#40383c", 0.12);
    c.block([-92.0, -208.0, 184.0, 34.0], 8.0, "#9d9995");
    c.solid("M-84 -176H84L122 -12Q122 0 108 0H-108Q-122 0 -122 -12Z", metal);
    c.veil("M-28 -176H32L46 0H-40Z", "#fff", 0.32);
    c.veil("M-84 -176H-28L-40 0H-108Q-122 0 -122 -12Z", "#40383c", 0.12);
    c.ball([62.0, -92.0, 11.0, 11.0], "#b08d4f");
    c.solid("M-116 -366C-70 -404 70 -404 116 -366Z", "#b5b1ad");
    c.block([-16.0, -424.0, 32.0, 32.0], 10.0, INK);
}

pub fn mugs(c: &mut Canvas) {
    let (body, second) = (c.palette.body, c.palette.second);
    mug(c, 62.0, -2.0, body);
    mug(c, -92.0, 26.0, second);
}

fn mug(c: &mut Canvas, x: f64, y: f64, colour: &str) {
    c.raw(&format!("<g transform=\"translate({x} {y})\">"));
    c.shadow(0.0, 90.0);
    c.line("M88 -168C166 -176 166 -62 84 -58", colour, 24.0);
    c.solid("M-100 -210H100L92 -20C92 -4 60 0 0 0C-60 0 -92 -4 -92 -20Z", colour);
    c.ellipse([0.0, -210.0, 100.0, 20.0], "#f9f2e6");
    c.ellipse([0.0, -206.0, 86.0, 14.0], "#5b3a2a");
    c.line("M-100 -210A100 20 0 0 0 100 -210", INK, 4.0);
    c.line("M-16 -246C-34 -270 4 -288 -12 -316M24 -246C8 -268 42 -284 28 -306", "#ffffff", 5.0);
    c.raw("</g>");
}

pub fn board(c: &mut Canvas) {
    c.shadow(0.0, 190.0);
    c.raw("<g transform=\"rotate(-7)\">");
    let d = "M-34 -560C-34 -600 34 -600 34 -560L30 -452C150 -440 196 -370 196 -240C196 -90 130 -8 0 -8C-130 -8 -196 -90 -196 -240C-196 -370 -150 -440 -30 -452Z";
    c.solid(d, WOOD);
    c.within(d, |c| {
        for n in 0..9 {
            let x = f64::from(n) * 46.0 - 190.0;
            let sway = c.between(-26.0, 26.0);
            c.line(
                &format!("M{x} 0C{:.0} -160 {:.0} -320 {:.0} -600", x + sway, x - sway, x + sway),
                "#8f6238",
                3.0,
            );
        }
        c.line(
            "M-60 -300C-20 -330 40 -310 34 -262C28 -222 -42 -216 -58 -252C-68 -276 -24 -292 0 -270",
            "#8f6238",
            4.0,
        );
    });
    c.ellipse([0.0, -556.0, 14.0, 14.0], "#5d4028");
    c.raw("</g>");
    c.raw("<g transform=\"translate(150 34)\">");
    c.shadow(0.0, 120.0);
    c.solid("M-150 -40C-150 -110 -60 -128 10 -128C90 -128 150 -96 150 -44C150 -10 120 0 0 0C-120 0 -150 -12 -150 -40Z", "#c98f4e");
    c.line("M-86 -98L-58 -58M-28 -118L0 -72M34 -120L62 -76M92 -104L112 -68", "#f0d2a0", 8.0);
    c.raw("</g>");
    c.twig(-190.0, 30.0, 68.0, 150.0, OLIVE);
}

pub fn carafe(c: &mut Canvas) {
    c.shadow(-30.0, 110.0);
    let d = "M-70 -470H18C14 -400 16 -360 60 -300C110 -230 108 -90 92 -22C88 -6 60 0 -26 0C-112 0 -140 -6 -144 -22C-160 -90 -162 -230 -112 -300C-68 -360 -66 -400 -70 -470Z";
    c.veil(d, "#eef5f3", 0.62);
    c.within(d, |c| {
        c.veil("M-180 -236C-100 -226 60 -226 140 -236V20H-180Z", "#8fb3b5", 0.55);
        c.ellipse([-26.0, -236.0, 128.0, 12.0], "#b7cfce");
        for (x, y) in [(-70.0, -120.0), (10.0, -76.0), (24.0, -168.0)] {
            c.ellipse([x, y, 40.0, 38.0], "#e9c545");
            c.ellipse([x, y, 31.0, 29.0], "#f5e08c");
        }
        c.flat("M-180 -480H120V10H-180Z", "url(#v)");
    });
    c.line("M-110 -250C-140 -190 -138 -90 -126 -40", "#ffffff", 8.0);
    c.ellipse([-26.0, -470.0, 44.0, 9.0], "#dfeae8");
    c.raw("<g transform=\"translate(170 22)\">");
    c.shadow(0.0, 62.0);
    let glass = "M-64 -170H64L54 -14C54 -2 30 0 0 0C-30 0 -54 -2 -54 -14Z";
    c.veil(glass, "#eef5f3", 0.66);
    c.within(glass, |c| c.veil("M-70 -104H70V10H-70Z", "#8fb3b5", 0.55));
    c.flat(glass, "url(#v)");
    c.ellipse([0.0, -170.0, 64.0, 12.0], MIST);
    c.raw("</g>");
}

pub fn casserole(c: &mut Canvas) {
    let body = c.one_of([VERMILION, "#2f5d50", "#d8a13f", "#3d5a6c"]);
    c.shadow(0.0, 210.0);
    c.line("M-226 -196C-284 -204 -284 -150 -226 -150", body, 26.0);
    c.line("M226 -196C284 -204 284 -150 226 -150", body, 26.0);
    c.solid("M-230 -240H230L218 -40C216 -8 190 0 0 0C-190 0 -216 -8 -218 -40Z", body);
    c.veil("M-230 -240H230L229 -222H-229Z", "#1d1020", 0.25);
    c.solid("M-238 -250C-220 -326 -80 -344 0 -344C80 -344 220 -326 238 -250C238 -238 200 -236 0 -236C-200 -236 -238 -238 -238 -250Z", body);
    c.veil("M-190 -276C-130 -316 -60 -326 -10 -326C-70 -312 -130 -294 -166 -262Z", "#fff", 0.3);
    c.block([-18.0, -366.0, 36.0, 26.0], 6.0, "#b08d4f");
    c.ball([0.0, -374.0, 40.0, 18.0], "#b08d4f");
    c.raw("<g transform=\"translate(-250 36)\">");
    c.ball([0.0, -38.0, 44.0, 40.0], CLAY);
    c.line("M0 -76C4 -92 12 -98 20 -102", LEAF, 5.0);
    c.raw("</g>");
    c.raw("<g transform=\"translate(-176 52)\">");
    c.ball([0.0, -30.0, 34.0, 31.0], CREAM);
    c.line("M-6 -58C-10 -76 -6 -84 0 -92M4 -58C8 -74 6 -80 10 -86", STONE, 4.0);
    c.raw("</g>");
}
