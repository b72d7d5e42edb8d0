//! Sheets of the real meshes. They are also written as PNG beside the test's build products, for
//! people to look at.
#![expect(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

use std::{fs, path::Path, time::Instant};

use omnireward_core::{MediaRef, MediaSource, Modality};
use omnireward_media::{
    Limits, RgbImage, image,
    mesh::{Mesh, Shading, SheetConfig, load, render_sheet},
};

fn real_meshes() -> Vec<(String, Mesh)> {
    let Some(folder) = omnireward_testkit::real_data("mesh/files") else {
        return Vec::new();
    };
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .into_iter()
        .filter_map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let source = MediaSource::File {
                path,
                name: name.clone(),
            };
            let media = MediaRef {
                modality: Modality::Mesh,
                source,
            };
            Some((name, load(&media, &Limits::default()).ok()?))
        })
        .collect()
}

/// The share of a view's pixels that are not background, and whether its border is free.
fn ink(sheet: &RgbImage, config: &SheetConfig, view: u32) -> (f64, bool) {
    let size = config.view_size;
    let (left, top) = (view % config.columns * size, view / config.columns * size);
    let mut inked = 0;
    let mut border_is_free = true;
    for y in 0..size {
        for x in 0..size {
            if sheet.get_pixel(left + x, top + y).0 != config.background {
                inked += 1;
                border_is_free &= x > 0 && y > 0 && x + 1 < size && y + 1 < size;
            }
        }
    }
    (f64::from(inked) / f64::from(size * size), border_is_free)
}

#[test]
fn every_real_mesh_is_seen_whole_from_every_side() {
    let config = SheetConfig::default();
    for (name, mesh) in real_meshes() {
        let sheet = render_sheet(&mesh, &config);
        assert_eq!(sheet.dimensions(), (1024, 256));
        for view in 0..4 {
            let (share, border_is_free) = ink(&sheet, &config, view);
            // Flat things seen from the side are slivers.
            assert!(share > 0.003, "{name}, view {view}: {share}");
            assert!(
                share < 0.9 && border_is_free,
                "{name}, view {view}: {share}"
            );
        }
        assert_eq!(
            sheet,
            render_sheet(&mesh, &config),
            "{name} differs from itself"
        );
        let png = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.png"));
        fs::write(png, image::encode_png(&sheet)).unwrap();
    }
}

#[test]
fn a_solid_has_no_holes() {
    // Of an orthographic cube seen from a corner every pixel within the outline is covered.
    let Some((_, cube)) = real_meshes()
        .into_iter()
        .find(|(name, _)| name == "unit_cube.STL")
    else {
        return;
    };
    let config = SheetConfig {
        views: 8,
        supersampling: 1,
        ..SheetConfig::default()
    };
    let sheet = render_sheet(&cube, &config);
    for y in 0..sheet.height() {
        for view in 0..8 {
            let (left, top) = (view % 4 * 256, view / 4 * 256);
            if y < top || y >= top + 256 {
                continue;
            }
            let row: Vec<bool> = (0..256)
                .map(|x| sheet.get_pixel(left + x, y).0 != config.background)
                .collect();
            let runs = row.windows(2).filter(|pair| !pair[0] && pair[1]).count();
            assert!(runs <= 1, "view {view}, row {y} is torn");
        }
    }
}

/// A ball of about `faces` triangles as OBJ text.
fn ball(faces: usize) -> String {
    use std::fmt::Write;
    let rows = ((faces / 4) as f64).sqrt() as usize;
    let columns = 2 * rows;
    let mut text = String::new();
    for row in 0..=rows {
        for column in 0..columns {
            let (sin, cos) = (std::f64::consts::PI * row as f64 / rows as f64).sin_cos();
            let (s, c) = (std::f64::consts::TAU * column as f64 / columns as f64).sin_cos();
            writeln!(text, "v {} {} {}", sin * c, cos, sin * s).unwrap();
        }
    }
    for row in 0..rows {
        for column in 0..columns {
            let at = |r: usize, c: usize| r * columns + c % columns + 1;
            let (a, b) = (at(row, column), at(row, column + 1));
            let (c, d) = (at(row + 1, column + 1), at(row + 1, column));
            writeln!(text, "f {a} {b} {c} {d}").unwrap();
        }
    }
    text
}

fn decoded(text: &str) -> Mesh {
    let bytes = text.as_bytes().into();
    let source = MediaSource::Bytes { bytes, name: None };
    load(
        &MediaRef {
            modality: Modality::Mesh,
            source,
        },
        &Limits::default(),
    )
    .unwrap()
}

#[test]
fn light_falls_from_above_and_a_ball_is_round() {
    let sheet = render_sheet(&decoded(&ball(10_000)), &SheetConfig::default());
    let level = |x, y| sheet.get_pixel(x, y).0[1];
    assert!(
        level(110, 60) > level(128, 128),
        "{} {}",
        level(110, 60),
        level(128, 128)
    );
    assert!(level(128, 128) > level(140, 220));
    // Smooth: no step between neighbours inside.
    for x in 60..196 {
        assert!(level(x, 128).abs_diff(level(x + 1, 128)) <= 4, "at {x}");
    }
    let flat = SheetConfig {
        shading: Shading::Flat,
        ..SheetConfig::default()
    };
    assert_ne!(sheet, render_sheet(&decoded(&ball(10_000)), &flat));
}

#[test]
fn odd_configurations_are_moved_into_range() {
    let mesh = decoded("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n");
    let config = SheetConfig {
        views: 0,
        view_size: 0,
        columns: 0,
        supersampling: 99,
        elevation_degrees: f32::NAN,
        first_azimuth_degrees: f32::INFINITY,
        ..SheetConfig::default()
    };
    assert_eq!(render_sheet(&mesh, &config).dimensions(), (1, 1));
}

#[test]
fn points_in_one_place_and_far_away_are_drawn() {
    let one_place = decoded("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n");
    render_sheet(&one_place, &SheetConfig::default());
    let far = decoded("v 3e38 0 0\nv -3e38 0 0\nv 0 3e38 0\nf 1 2 3\n");
    let config = SheetConfig::default();
    assert!(ink(&render_sheet(&far, &config), &config, 0).0 > 0.1);
}

/// Run with `--release --ignored --nocapture` on an idle machine.
#[test]
#[ignore = "measures time"]
fn a_hundred_thousand_triangles_take_a_fifth_of_a_second() {
    let mesh = decoded(&ball(100_000));
    let mut times: Vec<_> = (0..7)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(render_sheet(&mesh, &SheetConfig::default()));
            start.elapsed()
        })
        .collect();
    times.sort();
    println!(
        "{} triangles, median {:?}, least {:?}",
        mesh.triangles().len(),
        times[3],
        times[0]
    );
    assert!(times[0].as_millis() < 200);
}
