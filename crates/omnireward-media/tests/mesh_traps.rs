//! Small meshes that claim much or leave out what decoders count on.

use base64::{Engine, engine::general_purpose::STANDARD};
use omnireward_media::{
    Error, Limits, RgbImage, image,
    mesh::{self, Mesh, MeshSource},
};
use serde_json::{Value, json};

fn decode(bytes: &[u8], limits: &Limits) -> Result<Mesh, Error> {
    let none = |name: &str| {
        Err(Error::Absent {
            name: name.to_owned(),
        })
    };
    let source = MeshSource {
        name: "test",
        side: &none,
    };
    mesh::decode(bytes, &source, limits)
}

fn data_uri(bytes: &[u8]) -> String {
    format!("data:;base64,{}", STANDARD.encode(bytes))
}

/// One textured triangle with an attribute of its own that has no buffer view but a few
/// replacements.
fn gltf(attribute: &str, accessor: &Value, image: &Value) -> String {
    let positions: [f32; 9] = [0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let bytes = positions.map(f32::to_le_bytes).concat();
    json!({
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": bytes.len(), "uri": data_uri(&bytes)}],
        "bufferViews": [{"buffer": 0, "byteLength": bytes.len()}],
        "accessors": [
            {
                "bufferView": 0, "componentType": 5126, "type": "VEC3", "count": 3,
                "min": [0.0, 0.0, 0.0], "max": [1.0, 1.0, 0.0],
            },
            accessor,
        ],
        "images": [image],
        "textures": [{"source": 0}],
        "materials": [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        "meshes": [{"primitives": [{
            "attributes": {"POSITION": 0, attribute: 1},
            "material": 0,
        }]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    })
    .to_string()
}

/// Unsigned bytes, of which `replaced` differ from zero.
fn sparse(kind: &str, count: u64, replaced: u64) -> Value {
    json!({
        "componentType": 5121, "normalized": true, "type": kind, "count": count,
        "sparse": {
            "count": replaced,
            "indices": {"bufferView": 0, "componentType": 5121},
            "values": {"bufferView": 0},
        },
    })
}

fn dot() -> Value {
    json!({"uri": data_uri(&image::encode_png(&RgbImage::new(1, 1)))})
}

#[test]
fn attributes_that_are_more_or_fewer_than_the_vertices_are_refused_before_they_are_made() {
    for (attribute, kind) in [
        ("COLOR_0", "VEC3"),
        ("COLOR_0", "VEC4"),
        ("TEXCOORD_0", "VEC2"),
    ] {
        let read = |count| {
            let text = gltf(attribute, &sparse(kind, count, 1), &dot());
            decode(text.as_bytes(), &Limits::default())
        };
        read(3).unwrap();
        for count in [2, 4, 8_589_934_592, u64::MAX >> 1] {
            let error = read(count).unwrap_err().to_string();
            let expected = format!("accessor 1 has `{count}` elements for 3 vertices");
            assert!(error.contains(&expected), "{error}");
        }
    }
}

#[test]
fn more_replacements_than_elements_are_refused() {
    let text = gltf("COLOR_0", &sparse("VEC3", 3, 4), &dot());
    let error = decode(text.as_bytes(), &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("replaces `4` of 3"), "{error}");
}

#[test]
fn an_image_that_is_nowhere_is_noted_and_one_without_a_media_type_is_tried() {
    for image in [json!({}), json!({"bufferView": 0})] {
        let text = gltf("COLOR_0", &sparse("VEC3", 3, 1), &image);
        let mesh = decode(text.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(mesh.missing_files(), ["image 0"]);
    }
}

#[test]
fn a_binary_file_shorter_than_its_header_is_refused() {
    let bytes = [&b"glTF\x02\0\0\0\x0B\0\0\0"[..], &[0; 40]].concat();
    let error = decode(&bytes, &Limits::default()).unwrap_err().to_string();
    assert!(error.contains("a length of `11` bytes"), "{error}");
}

#[test]
fn a_list_that_no_mesh_needs_is_refused_before_it_is_read() {
    let limits = Limits {
        triangles: 100,
        ..Limits::default()
    };
    let ply = |length: u32| {
        let mut bytes = b"ply\nformat binary_little_endian 1.0\nelement vertex 3\n\
            property uchar x\nproperty uchar y\nproperty uchar z\nelement face 1\n\
            property list uchar uchar vertex_indices\nelement other 1\n\
            property list uint uchar values\nend_header\n\
            \0\0\0\x01\0\0\0\x01\0\x03\0\x01\x02"
            .to_vec();
        bytes.extend(length.to_le_bytes());
        bytes.resize(bytes.len() + length as usize, 7);
        bytes
    };
    assert!(decode(&ply(204), &limits).is_ok());
    let error = decode(&ply(1000), &limits).unwrap_err();
    assert!(error.is_limit(), "{error}");
}

#[test]
fn a_file_that_names_many_missing_files_lists_a_few() {
    let names: Vec<_> = (0..5000).map(|i| format!("mtllib {i}.mtl\n")).collect();
    let text = format!("{}v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n", names.concat());
    let mesh = decode(text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!(mesh.missing_files().len(), 64);
    assert_eq!(mesh.missing_files()[63], "63.mtl");
}
