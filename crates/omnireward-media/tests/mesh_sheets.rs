//! Sheets of the real meshes. They are also written as PNG beside the test's build products, for
//! people to look at.
#![expect(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

mod shapes;

use std::{fs, path::Path};

use omnireward_core::{MediaRef, MediaSource, Modality};
use omnireward_media::{
    Limits, RgbImage, image,
    mesh::{self, Mesh, Shading, SheetConfig, load},
};
use shapes::{ball, decoded};

fn render_sheet(mesh: &Mesh, config: &SheetConfig) -> RgbImage {
    mesh::render_sheet(mesh, config).unwrap()
}

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

#[test]
fn a_heap_of_triangles_that_fill_the_view_is_refused() {
    let heap = |layers: usize| {
        let corners = "v 0 0 0\nv 1 0 0\nv 0 1 0\n";
        let mesh = decoded(&format!("{corners}{}", "f 1 2 3\n".repeat(layers)));
        let config = SheetConfig {
            view_size: 64,
            ..SheetConfig::default()
        };
        mesh::render_sheet(&mesh, &config)
    };
    assert!(heap(500).is_ok());
    let error = heap(20_000).unwrap_err();
    assert!(error.is_limit(), "{error}");
    assert!(error.to_string().contains("samples to draw"), "{error}");
}
