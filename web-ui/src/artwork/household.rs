//! Textiles, light and the mirror.

use super::canvas::{CLAY, CREAM, Canvas, INK, LEAF, MIST, OCHRE, Palette, VERMILION, WOOD};
use super::scenes;

pub fn candles(c: &mut Canvas) {
    c.shadow(0.0, 190.0);
    c.ball([0.0, -8.0, 230.0, 30.0], "#cdbfae");
    c.ellipse([0.0, -14.0, 204.0, 22.0], "#b5a592");
    for (x, height, colour) in
        [(-108.0, 210.0, CREAM), (14.0, 330.0, OCHRE), (124.0, 150.0, "#e6d2b4")]
    {
        c.glow(x, -height - 54.0, 150.0);
        c.block([x - 46.0, -height - 10.0, 92.0, height], 10.0, colour);
        c.ellipse([x, -height - 8.0, 46.0, 9.0], "#fbf3e2");
        c.line(&format!("M{x} {}V{}", -height - 8.0, -height - 26.0), INK, 4.0);
        let y = -height - 24.0;
        c.flat(
            &format!(
                "M{x} {y}C{} {} {} {} {x} {}C{} {} {} {} {x} {y}Z",
                x + 22.0,
                y - 14.0,
                x + 12.0,
                y - 40.0,
                y - 68.0,
                x - 12.0,
                y - 40.0,
                x - 22.0,
                y - 14.0
            ),
            "#f4a63a",
        );
        c.flat(
            &format!(
                "M{x} {y}C{} {} {} {} {x} {}C{} {} {} {} {x} {y}Z",
                x + 10.0,
                y - 8.0,
                x + 6.0,
                y - 22.0,
                y - 40.0,
                x - 6.0,
                y - 22.0,
                x - 10.0,
                y - 8.0
            ),
            "#fdeec4",
        );
    }
}

/// Hangs on the wall around the origin.
pub fn mirror(c: &mut Canvas) {
    let frame = c.one_of([WOOD, "#b08d4f", INK]);
    c.veil("M-250 40A270 270 0 0 0 290 70A275 275 0 0 1 -230 80Z", "#1d1020", 0.14);
    c.line("M0 -330V-250", "#6b6058", 5.0);
    c.ellipse([0.0, -334.0, 9.0, 9.0], "#6b6058");
    c.ball([0.0, 0.0, 266.0, 266.0], frame);
    c.ellipse([0.0, 0.0, 240.0, 240.0], MIST);
    c.within("M-240 0A240 240 0 1 1 240 0A240 240 0 1 1 -240 0Z", |c| {
        scenes::view(c, [-240.0, -240.0, 480.0, 500.0]);
        c.veil("M-240 -240H20L-160 260H-240Z", "#fff", 0.2);
        c.veil("M60 -240H110L-70 260H-120Z", "#fff", 0.16);
    });
    c.raw("<g transform=\"translate(-190 432)\">");
    c.block([-130.0, 0.0, 640.0, 22.0], 4.0, WOOD);
    c.solid("M-60 -120C-100 -80 -100 -30 -70 0H10C40 -30 40 -80 0 -120Z", CREAM);
    c.twig(-30.0, -110.0, 14.0, 150.0, LEAF);
    c.block([330.0, -26.0, 130.0, 26.0], 3.0, CLAY);
    c.block([340.0, -50.0, 112.0, 24.0], 3.0, CREAM);
    c.raw("</g>");
}

pub fn throw(c: &mut Canvas) {
    let (body, second, accent) = (c.palette.body, c.palette.second, c.palette.accent);
    c.shadow(0.0, 250.0);
    for (n, colour) in [second, body, second].into_iter().enumerate() {
        let y = -(n as f64) * 92.0;
        let inset = n as f64 * 9.0;
        let d = format!(
            "M{} {y}C{} {} {} {} {} {}H{}C{} {} {} {} {} {y}Z",
            -250.0 + inset,
            -286.0 + inset,
            y - 20.0,
            -286.0 + inset,
            y - 78.0,
            -250.0 + inset,
            y - 96.0,
            250.0 - inset,
            262.0 - inset,
            y - 60.0,
            262.0 - inset,
            y - 30.0,
            250.0 - inset
        );
        c.solid(&d, colour);
        c.line(&format!("M{} {}H{}", -232.0 + inset, y - 48.0, 240.0 - inset), "#1d10201a", 5.0);
    }
    // The end that hangs over the stack.
    let d = "M-30 -290C20 -306 150 -306 196 -288C206 -220 204 -120 198 -64H-16C-24 -140 -34 -220 -30 -290Z";
    c.solid(d, body);
    c.within(d, |c| {
        for y in [-246.0, -222.0, -128.0, -104.0] {
            c.line(&format!("M-40 {y}H210"), accent, 9.0);
        }
    });
    for n in 0..17 {
        let x = f64::from(n) * 13.0 - 12.0;
        let end = c.between(-34.0, -26.0);
        c.line(&format!("M{x} -66L{x} {end:.0}"), body, 5.0);
    }
}

pub fn cushion(c: &mut Canvas) {
    let (body, second) = (c.palette.body, c.palette.second);
    c.shadow(0.0, 230.0);
    c.raw("<g transform=\"translate(0 -6) rotate(-4)\">");
    let d = "M-258 -470C-150 -448 150 -448 258 -470C236 -380 236 -110 262 0C150 -22 -150 -22 -262 0C-236 -110 -236 -380 -258 -470Z";
    c.solid(d, body);
    c.within(d, |c| {
        for x in [-150.0, -116.0, -12.0, 22.0, 126.0, 160.0] {
            c.line(&format!("M{x} -480C{} -320 {} -160 {x} 10", x * 0.9, x * 0.9), second, 12.0);
        }
        c.flat("M-270 -480H270V10H-270Z", "url(#v)");
        c.veil("M-40 -250C10 -210 60 -230 90 -270C80 -200 20 -170 -40 -250Z", "#1d1020", 0.1);
    });
    c.line(d, "#1d102022", 4.0);
    c.raw("</g>");
}

/// Hang on the wall around the origin.
pub fn towels(c: &mut Canvas) {
    let (second, accent) = (c.palette.second, c.palette.accent);
    c.block([-330.0, -300.0, 660.0, 34.0], 6.0, WOOD);
    for x in [-210.0, 0.0, 210.0] {
        c.block([x - 11.0, -296.0, 22.0, 64.0], 10.0, "#a3774b");
    }
    towel(c, -150.0, CREAM, accent);
    towel(c, 120.0, second, CREAM);
}

fn towel(c: &mut Canvas, x: f64, cloth: &str, stripe: &str) {
    c.raw(&format!("<g transform=\"translate({x} 0)\">"));
    c.veil("M-86 -240C-100 0 -96 220 -84 330H150C140 220 130 0 110 -240Z", "#1d1020", 0.13);
    let d = "M-20 -256C-70 -250 -104 -220 -108 -170C-118 0 -118 180 -104 318C-40 330 40 330 104 318C118 180 118 0 108 -170C104 -220 70 -250 20 -256C10 -244 -10 -244 -20 -256Z";
    c.solid(d, cloth);
    c.within(d, |c| {
        for (y, width) in [(212.0, 20.0), (244.0, 6.0), (262.0, 6.0), (-120.0, 6.0)] {
            c.line(&format!("M-130 {y}C-40 {} 40 {} 130 {y}", y + 14.0, y + 14.0), stripe, width);
        }
        c.line("M-40 -240C-54 -60 -54 140 -46 330M30 -240C48 -60 44 140 40 330", "#1d10201c", 7.0);
    });
    c.line("M-16 -258C-16 -290 16 -290 16 -258", stripe, 6.0);
    c.raw("</g>");
}

/// Seen from above, on a floor of boards.
pub fn rug(c: &mut Canvas) {
    let palette = c.palette;
    c.rect([0.0, 0.0, 800.0, 1000.0], 0.0, "#d9bd97");
    for n in 1..8 {
        let x = f64::from(n) * 104.0 - 20.0;
        c.line(&format!("M{x} 0V1000"), "#c5a57c", 3.0);
    }
    for (x, y) in [(136.0, 210.0), (344.0, 80.0), (552.0, 930.0), (708.0, 500.0), (32.0, 640.0)] {
        c.line(&format!("M{} {y}H{}", x - 52.0, x + 52.0), "#c5a57c", 3.0);
    }
    c.veil("M128 128H704V908H128Z", "#1d1020", 0.14);
    for n in 0..28 {
        let x = 116.0 + f64::from(n) * 20.8;
        c.line(&format!("M{x} 112V78M{x} 884V920"), CREAM, 5.0);
    }
    c.rect([106.0, 108.0, 580.0, 780.0], 3.0, CREAM);
    c.rect([130.0, 132.0, 532.0, 732.0], 0.0, palette.shape);
    c.rect([154.0, 156.0, 484.0, 684.0], 0.0, CREAM);
    for row in 0..7 {
        for column in 0..5 {
            let x = 202.0 + f64::from(column) * 97.0;
            let y = 204.0 + f64::from(row) * 98.0;
            let colour = match (row + column) % 3 {
                0 => VERMILION,
                1 => palette.table,
                _ => palette.shape,
            };
            c.flat(
                &format!("M{x} {}L{} {y}L{x} {}L{} {y}Z", y - 46.0, x + 44.0, y + 46.0, x - 44.0),
                colour,
            );
            c.flat(
                &format!("M{x} {}L{} {y}L{x} {}L{} {y}Z", y - 20.0, x + 19.0, y + 20.0, x - 19.0),
                CREAM,
            );
        }
    }
    c.veil("M0 0H420L120 1000H0Z", "#fff", 0.14);
}

pub fn lamp(c: &mut Canvas) {
    let evening = c.palette.evening;
    let base = if evening { CLAY } else { c.palette.body };
    c.shadow(0.0, 110.0);
    c.glow(0.0, -410.0, 400.0);
    c.solid("M-30 -300C-26 -250 -108 -226 -108 -126C-108 -44 -64 0 0 0C64 0 108 -44 108 -126C108 -226 26 -250 30 -300Z", base);
    c.block([-12.0, -352.0, 24.0, 60.0], 2.0, "#b08d4f");
    let shade = "M-112 -560H112L206 -330C120 -312 -120 -312 -206 -330Z";
    c.flat(shade, "#f9e6bd");
    c.veil("M-60 -560H60L110 -318C50 -314 -50 -314 -110 -318Z", "#fff6da", 0.8);
    c.line("M-206 -330C-120 -312 120 -312 206 -330", "#d9b876", 6.0);
    c.ellipse([0.0, -560.0, 112.0, 12.0], "#fff4d6");
    c.line("M104 -20C180 0 240 -10 330 10", INK, 5.0);
}

pub fn pendant(c: &mut Canvas) {
    let shade = c.one_of([VERMILION, "#2f5146", OCHRE]);
    c.line("M0 -840V-560", INK, 6.0);
    c.veil("M-190 -430L-360 40H360L190 -430Z", "#ffe2a6", 0.3);
    c.glow(0.0, -420.0, 330.0);
    c.block([-18.0, -590.0, 36.0, 50.0], 6.0, "#b08d4f");
    c.solid("M-18 -556C-150 -548 -214 -490 -220 -420H220C214 -490 150 -548 18 -556Z", shade);
    c.ellipse([0.0, -420.0, 220.0, 22.0], "#fff1cc");
    c.ellipse([0.0, -414.0, 60.0, 26.0], "#fffaf0");
    c.raw("<g transform=\"translate(-20 20)\">");
    c.shadow(0.0, 110.0);
    c.solid("M-130 -70C-120 -20 -70 0 0 0C70 0 120 -20 130 -70A130 22 0 0 1 -130 -70Z", CREAM);
    c.ellipse([0.0, -70.0, 130.0, 22.0], "#d8c6ab");
    c.lemon(-36.0, -66.0, 40.0);
    c.lemon(40.0, -64.0, 38.0);
    c.raw("</g>");
}

pub fn lantern(c: &mut Canvas) {
    let metal = if c.palette.evening { "#8c7a58" } else { INK };
    c.palette = Palette { evening: true, ..c.palette };
    c.shadow(0.0, 130.0);
    c.line("M-112 -430C-112 -600 112 -600 112 -430", metal, 11.0);
    c.glow(0.0, -210.0, 330.0);
    c.block([-134.0, -30.0, 268.0, 30.0], 6.0, metal);
    c.veil("M-104 -360H104V-30H-104Z", "#fff3d4", 0.42);
    c.block([-44.0, -150.0, 88.0, 120.0], 6.0, CREAM);
    c.line("M0 -150V-166", INK, 4.0);
    c.flat("M0 -160C24 -178 14 -206 0 -238C-14 -206 -24 -178 0 -160Z", "#f4a63a");
    c.flat("M0 -160C10 -170 6 -184 0 -200C-6 -184 -10 -170 0 -160Z", "#fdeec4");
    c.line("M-104 -360V-30M104 -360V-30", metal, 13.0);
    c.line("M-84 -340L-70 -60", "#ffffff", 5.0);
    c.solid("M-128 -356L-66 -440H66L128 -356Z", metal);
    c.block([-34.0, -470.0, 68.0, 34.0], 6.0, metal);
}
