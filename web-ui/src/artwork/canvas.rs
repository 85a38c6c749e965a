//! A drawing surface that writes SVG, with the brand's palettes.

use crate::assets::fnv1a;

pub const VERMILION: &str = "#c23a22";
pub const OCHRE: &str = "#d8a13f";
pub const LEMON: &str = "#e9c545";
pub const OLIVE: &str = "#76804f";
pub const LEAF: &str = "#4f6b4c";
pub const PINE: &str = "#2f5146";
pub const CREAM: &str = "#f6ecdd";
pub const CLAY: &str = "#b8654a";
pub const INK: &str = "#2a2830";
pub const SEA: &str = "#5d8a96";
pub const MIST: &str = "#c4d3d4";
pub const WOOD: &str = "#b98a5c";
pub const STONE: &str = "#b9ae9f";

/// The colours of one picture.
#[derive(Clone, Copy)]
pub struct Palette {
    pub wall: &'static str,
    /// The large quiet shape on the wall.
    pub shape: &'static str,
    pub table: &'static str,
    pub body: &'static str,
    pub second: &'static str,
    pub accent: &'static str,
    pub evening: bool,
}

const fn palette(
    [wall, shape, table]: [&'static str; 3],
    [body, second, accent]: [&'static str; 3],
) -> Palette {
    Palette { wall, shape, table, body, second, accent, evening: false }
}

const PALETTES: [Palette; 7] = [
    palette(["#efe0cc", "#e6bb98", "#c98a68"], ["#f3e8d8", CLAY, PINE]),
    palette(["#dde2d2", "#c3cdae", "#8d9b79"], [CREAM, OLIVE, VERMILION]),
    palette(["#e3dfe0", "#e9c3a6", "#a99da0"], ["#6e8790", CREAM, VERMILION]),
    palette(["#f4ead9", "#eccb86", "#d3b48a"], [VERMILION, "#efe2cf", PINE]),
    palette(["#f1dfd5", "#dd9a7e", "#b96f56"], ["#f5ebdf", SEA, OCHRE]),
    palette(["#d5e0e0", "#f0dcc0", "#8aa5a8"], [CLAY, CREAM, OCHRE]),
    palette(["#ece6da", "#b9c7be", "#6f8a7f"], [OCHRE, "#f2e6d3", VERMILION]),
];

impl Palette {
    /// For things that give light.
    pub fn evening() -> Self {
        Palette {
            evening: true,
            ..palette(["#2c3a40", "#3c4c50", "#1f292e"], [CREAM, CLAY, OCHRE])
        }
    }
}

/// A picture under construction. Motifs draw around the origin: x to the right,
/// y down, standing on y = 0.
pub struct Canvas {
    pub width: f64,
    pub height: f64,
    pub palette: Palette,
    out: String,
    seed: u64,
    clips: u32,
}

impl Canvas {
    pub fn new(width: u32, height: u32, name: &str) -> Self {
        let seed = fnv1a(name.as_bytes());
        let palette = PALETTES[(seed % PALETTES.len() as u64) as usize];
        let out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\"><defs>\
             <linearGradient id=\"v\"><stop offset=\"0\" stop-color=\"#fff\" stop-opacity=\".22\"/>\
             <stop offset=\".38\" stop-color=\"#fff\" stop-opacity=\".04\"/>\
             <stop offset=\".62\" stop-color=\"#1d1020\" stop-opacity=\".05\"/>\
             <stop offset=\"1\" stop-color=\"#1d1020\" stop-opacity=\".30\"/></linearGradient>\
             <radialGradient id=\"g\"><stop offset=\"0\" stop-color=\"#ffe2a6\" stop-opacity=\".85\"/>\
             <stop offset=\".45\" stop-color=\"#ffd58c\" stop-opacity=\".28\"/>\
             <stop offset=\"1\" stop-color=\"#ffd58c\" stop-opacity=\"0\"/></radialGradient>\
             <linearGradient id=\"s\" x2=\"0\" y2=\"1\"><stop offset=\"0\" stop-color=\"#1d1020\" \
             stop-opacity=\"0\"/><stop offset=\"1\" stop-color=\"#1d1020\" stop-opacity=\".14\"/>\
             </linearGradient></defs>"
        );
        let (width, height) = (f64::from(width), f64::from(height));
        Canvas { width, height, palette, out, seed: seed | 1, clips: 0 }
    }

    pub fn finish(mut self) -> String {
        self.out.push_str("</svg>");
        self.out
    }

    /// The next seeded number in 0..1 (xorshift64*).
    pub fn chance(&mut self) -> f64 {
        self.seed ^= self.seed >> 12;
        self.seed ^= self.seed << 25;
        self.seed ^= self.seed >> 27;
        let bits = self.seed.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 40;
        bits as f64 / f64::from(1 << 24)
    }

    /// A seeded number between two.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + self.chance() * (high - low)
    }

    /// A seeded one of several.
    pub fn one_of<T: Copy, const N: usize>(&mut self, all: [T; N]) -> T {
        let at = (self.chance() * N as f64) as usize;
        all[at.min(N - 1)]
    }

    pub fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    /// A plain shape.
    pub fn flat(&mut self, d: &str, fill: &str) {
        self.raw(&format!("<path d=\"{d}\" fill=\"{fill}\"/>"));
    }

    /// A shape with light from the left, as if it were round.
    pub fn solid(&mut self, d: &str, fill: &str) {
        self.flat(d, fill);
        self.flat(d, "url(#v)");
    }

    /// A see-through shape.
    pub fn veil(&mut self, d: &str, fill: &str, opacity: f64) {
        self.raw(&format!("<path d=\"{d}\" fill=\"{fill}\" fill-opacity=\"{opacity}\"/>"));
    }

    pub fn line(&mut self, d: &str, stroke: &str, width: f64) {
        self.raw(&format!(
            "<path d=\"{d}\" fill=\"none\" stroke=\"{stroke}\" stroke-width=\"{width}\" \
             stroke-linecap=\"round\" stroke-linejoin=\"round\"/>"
        ));
    }

    pub fn rect(&mut self, [x, y, w, h]: [f64; 4], radius: f64, fill: &str) {
        self.raw(&format!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" rx=\"{radius}\" fill=\"{fill}\"/>"
        ));
    }

    /// A rectangle with light from the left.
    pub fn block(&mut self, area: [f64; 4], radius: f64, fill: &str) {
        self.rect(area, radius, fill);
        self.rect(area, radius, "url(#v)");
    }

    pub fn ellipse(&mut self, [cx, cy, rx, ry]: [f64; 4], fill: &str) {
        self.raw(&format!(
            "<ellipse cx=\"{cx:.1}\" cy=\"{cy:.1}\" rx=\"{rx:.1}\" ry=\"{ry:.1}\" fill=\"{fill}\"/>"
        ));
    }

    /// A ball with light from the left.
    pub fn ball(&mut self, [cx, cy, rx, ry]: [f64; 4], fill: &str) {
        self.ellipse([cx, cy, rx, ry], fill);
        self.ellipse([cx, cy, rx, ry], "url(#v)");
    }

    /// The shadow of a thing of this half width standing at x.
    pub fn shadow(&mut self, x: f64, half: f64) {
        let far = half * 2.3;
        self.veil(
            &format!(
                "M{:.0} -4C{:.0} -34 {:.0} -40 {:.0} -26C{:.0} -12 {:.0} 24 {:.0} 12C{:.0} 10 {:.0} 4 {:.0} -4Z",
                x - half * 0.88,
                x + half * 0.6,
                x + far * 0.8,
                x + far,
                x + far,
                x + half * 0.4,
                x - half * 0.5,
                x - half * 0.8,
                x - half * 0.92,
                x - half * 0.88
            ),
            "#1d1020",
            0.2,
        );
    }

    /// Light around a lamp or flame.
    pub fn glow(&mut self, x: f64, y: f64, radius: f64) {
        self.ellipse([x, y, radius, radius], "url(#g)");
    }

    /// A leaf that starts here and points in a direction (degrees, 0 is up).
    pub fn leaf(&mut self, x: f64, y: f64, degrees: f64, length: f64, fill: &str) {
        let (half, wide) = (length / 2.0, length * 0.2);
        self.raw(&format!(
            "<path transform=\"translate({x:.1} {y:.1}) rotate({degrees:.0})\" \
             d=\"M0 0C{wide:.1} -{a:.1} {wide:.1} -{half:.1} 0 -{length:.1}C-{wide:.1} -{half:.1} -{wide:.1} -{a:.1} 0 0Z\" fill=\"{fill}\"/>",
            a = half * 0.5
        ));
    }

    /// A twig from here in a direction, with leaves on both sides.
    pub fn twig(&mut self, x: f64, y: f64, degrees: f64, length: f64, leaf: &str) {
        self.raw(&format!("<g transform=\"translate({x:.1} {y:.1}) rotate({degrees:.0})\">"));
        let bend = self.between(-length * 0.12, length * 0.12);
        self.line(&format!("M0 0Q{bend:.1} {:.1} 0 {:.1}", -length / 2.0, -length), "#5c5036", 4.0);
        let leaves = (length / 34.0) as i32;
        for n in 1..=leaves {
            let along = f64::from(n) / f64::from(leaves);
            let sway = bend * 2.0 * along * (1.0 - along);
            let size = 64.0 - along * 16.0;
            let lean = self.between(42.0, 66.0);
            let side = if n % 2 == 0 { 1.0 } else { -1.0 };
            self.leaf(sway, -length * along, side * lean, size, leaf);
        }
        self.leaf(0.0, -length, 4.0, 46.0, leaf);
        self.raw("</g>");
    }

    pub fn lemon(&mut self, x: f64, y: f64, size: f64) {
        self.ball([x, y - size * 0.74, size, size * 0.76], LEMON);
        self.ellipse([x + size * 0.98, y - size * 0.7, size * 0.14, size * 0.12], "#cfa632");
    }

    /// Draws a motif around another origin, at another size.
    pub fn at(&mut self, x: f64, y: f64, scale: f64, motif: fn(&mut Canvas)) {
        self.raw(&format!("<g transform=\"translate({x} {y}) scale({scale})\">"));
        motif(self);
        self.raw("</g>");
    }

    /// Draws only inside a shape.
    pub fn within(&mut self, d: &str, draw: impl FnOnce(&mut Canvas)) {
        self.clips += 1;
        let id = self.clips;
        self.raw(&format!(
            "<clipPath id=\"c{id}\"><path d=\"{d}\"/></clipPath><g clip-path=\"url(#c{id})\">"
        ));
        draw(self);
        self.raw("</g>");
    }
}
