//! Pictures for the demo shop, composed as SVG from a small vocabulary: a still
//! life on a table before a wall, a horizon, a pattern. The same name always
//! gives the same picture; words in it choose the motif, the rest is seeded.

mod canvas;
mod garden;
mod household;
mod paper;
mod scenes;
mod vessels;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};

use canvas::{Canvas, Palette};

const MAX_NAME_CHARS: usize = 120;

type Motif = fn(&mut Canvas);

/// Where a motif stands: on the table before a wall, on the wall, or alone.
#[derive(Clone, Copy)]
enum Place {
    Table,
    Wall,
    Whole,
}

/// Which word in a name means which motif. The first that fits counts, so the
/// particular stands before the general.
const MOTIFS: &[(&str, Motif, Place)] = &[
    ("print-golfo", paper::print_horizon, Place::Wall),
    ("print-cypress", paper::print_cypresses, Place::Wall),
    ("print-tile", paper::print_tiles, Place::Wall),
    ("print", paper::print_horizon, Place::Wall),
    ("book-houses", paper::books_stacked, Place::Table),
    ("book", paper::book_standing, Place::Table),
    ("vase", vessels::vase, Place::Table),
    ("bowl", vessels::bowl, Place::Table),
    ("candle", household::candles, Place::Table),
    ("mirror", household::mirror, Place::Wall),
    ("moka", vessels::moka_pot, Place::Table),
    ("mug", vessels::mugs, Place::Table),
    ("board", vessels::board, Place::Table),
    ("carafe", vessels::carafe, Place::Table),
    ("casserole", vessels::casserole, Place::Table),
    ("throw", household::throw, Place::Table),
    ("cushion", household::cushion, Place::Table),
    ("towel", household::towels, Place::Wall),
    ("rug", household::rug, Place::Whole),
    ("pendant", household::pendant, Place::Table),
    ("lantern", household::lantern, Place::Table),
    ("lamp", household::lamp, Place::Table),
    ("watering", garden::watering_can, Place::Table),
    ("planter", garden::planter, Place::Table),
    ("bird", garden::bird_house, Place::Whole),
];

/// The motifs of a shelf, left and right in its picture.
const ROOMS: &[(&str, Motif, Motif)] = &[
    ("homeware", vessels::vase, vessels::bowl),
    ("kitchen", vessels::moka_pot, vessels::mugs),
    ("textiles", household::throw, household::cushion),
    ("lighting", household::lamp, household::candles),
    ("garden", garden::watering_can, garden::planter),
    ("prints", paper::print_horizon, paper::print_cypresses),
    ("books", paper::books_stacked, vessels::carafe),
];

/// `/artwork/{name}.svg`
pub async fn serve(Path(file): Path<String>) -> Response {
    let name = file.strip_suffix(".svg").filter(|name| {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        !name.is_empty() && name.len() <= MAX_NAME_CHARS && name.bytes().all(plain)
    });
    let Some(name) = name else {
        return (StatusCode::NOT_FOUND, "no such picture").into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, "image/svg+xml"),
        (header::CACHE_CONTROL, "public, max-age=86400"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, compose(name)).into_response()
}

/// The picture of this name.
pub fn compose(name: &str) -> String {
    if let Some(scene) = name.strip_prefix("scene-") {
        return scenes::scene(scene);
    }
    if let Some(room) = name.strip_prefix("room-") {
        return room_picture(name, room);
    }
    let found = MOTIFS.iter().find(|(word, ..)| name.contains(word));
    let (motif, place) = found.map_or((paper::pattern as Motif, Place::Whole), |m| (m.1, m.2));
    let mut canvas = Canvas::new(800, 1000, name);
    if found.is_some_and(|(word, ..)| ["lamp", "lantern"].contains(word)) {
        canvas.palette = Palette::evening();
    }
    match place {
        Place::Table => {
            scenes::wall_and_table(&mut canvas, 740.0);
            canvas.at(400.0, 830.0, 1.0, motif);
        }
        Place::Wall => {
            scenes::plain_wall(&mut canvas, 860.0);
            canvas.at(400.0, 450.0, 1.0, motif);
        }
        Place::Whole => motif(&mut canvas),
    }
    canvas.finish()
}

fn room_picture(name: &str, room: &str) -> String {
    let mut canvas = Canvas::new(800, 600, name);
    let found = ROOMS.iter().find(|(slug, ..)| *slug == room);
    let (left, right) =
        found.map_or((vessels::vase as Motif, vessels::bowl as Motif), |r| (r.1, r.2));
    if room == "lighting" {
        canvas.palette = Palette::evening();
    }
    if room == "prints" {
        scenes::plain_wall(&mut canvas, 540.0);
        canvas.at(255.0, 270.0, 0.56, left);
        canvas.at(560.0, 270.0, 0.56, right);
    } else {
        scenes::wall_and_table(&mut canvas, 430.0);
        canvas.at(275.0, 492.0, 0.62, left);
        canvas.at(570.0, 530.0, 0.56, right);
    }
    canvas.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_is_the_same_picture() {
        assert_eq!(compose("lago-vase"), compose("lago-vase"));
        assert_ne!(compose("lago-vase"), compose("costa-vase"));
    }

    #[test]
    fn every_motif_is_closed_markup_of_moderate_size() {
        let names = MOTIFS.iter().map(|m| m.0.to_owned());
        let rooms = ROOMS.iter().map(|r| format!("room-{}", r.0));
        let scenes = ["bellavista", "quiet", "empty", "door"].map(|s| format!("scene-{s}"));
        for name in names.chain(rooms).chain(scenes).chain(["anything-else".to_owned()]) {
            let svg = compose(&name);
            assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>"), "{name}");
            assert!(!svg.contains("NaN"), "{name}");
            assert!(svg.len() < 40_000, "{name}: {}", svg.len());
            assert_eq!(svg.matches("<g").count(), svg.matches("</g>").count(), "{name}");
        }
    }
}
