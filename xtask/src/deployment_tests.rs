//! What `docker-compose.yml` and the Dockerfiles promise, checked where no
//! Docker is.

use std::{collections::BTreeSet, fs};

use serde_yaml_ng::Value;

use crate::repo;

fn read(path: &str) -> String {
    fs::read_to_string(repo::root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The services with their merge keys applied.
fn services(text: &str) -> Vec<(String, Value)> {
    let mut compose: Value = serde_yaml_ng::from_str(text).expect("YAML");
    // Twice: what is merged in has been merged itself.
    compose.apply_merge().expect("merge keys");
    compose.apply_merge().expect("merge keys");
    let services = compose["services"].as_mapping().expect("services");
    services
        .iter()
        .map(|(name, service)| (name.as_str().expect("a name").to_owned(), service.clone()))
        .collect()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_sequence().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// What a Dockerfile says of one stage.
fn stage(dockerfile: &str, name: &str) -> String {
    let at = dockerfile.find(&format!(" AS {name}\n")).expect("the stage");
    dockerfile[at..].split("\nFROM ").next().unwrap_or_default().to_owned()
}

/// What is wrong with a compose file.
fn faults(text: &str) -> Vec<String> {
    let services = services(text);
    let mut faults = Vec::new();
    let mut profiles = BTreeSet::new();
    for (name, service) in &services {
        profiles.extend(words(&service["profiles"]));
        let image = service["image"].as_str().unwrap_or_default();
        let tag = image.rsplit_once(':').map(|(_, tag)| tag).unwrap_or_default();
        if !tag.starts_with(|c: char| c.is_ascii_digit() || c == 'v') || !tag.contains('.') {
            faults.push(format!("{name}: the image `{image}` is not pinned by version"));
        }
        let runs_once = service["restart"].as_str() == Some("no");
        if !runs_once && service["healthcheck"]["test"].is_null() {
            faults.push(format!("{name}: no healthcheck"));
        }
        if service["privileged"].as_bool() == Some(true)
            || service["network_mode"].as_str() == Some("host")
        {
            faults.push(format!("{name}: privileged, or in the host's network"));
        }
        if !words(&service["security_opt"]).contains(&"no-new-privileges:true") {
            faults.push(format!("{name}: may gain privileges"));
        }
        for port in words(&service["ports"]).iter().filter(|port| !port.starts_with("127.0.0.1:")) {
            faults.push(format!("{name}: port {port} is open to the network"));
        }
        for mount in words(&service["volumes"]).iter().filter(|mount| mount.contains("docker.sock"))
        {
            faults.push(format!("{name}: mounts {mount}"));
        }
        let needs = service["depends_on"].as_mapping().into_iter().flatten();
        for (needed, _) in needs {
            if !services.iter().any(|(other, _)| Some(other.as_str()) == needed.as_str()) {
                faults.push(format!("{name}: needs {needed:?}, which does not exist"));
            }
        }
    }
    for profile in ["infra", "all", "split", "observability"] {
        if !profiles.contains(profile) {
            faults.push(format!("the profile {profile} is missing"));
        }
    }
    faults
}

#[test]
fn the_compose_file_is_pinned_healthy_and_closed() {
    let faults = faults(&read("docker-compose.yml"));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn faults_of_a_compose_file_are_found() {
    let text = "services:\n  a:\n    image: x:latest\n    privileged: true\n    ports: ['80:80']\n    \
                profiles: [infra, all, split]\n    volumes: ['/var/run/docker.sock:/s']\n    depends_on: {b: {}}\n";
    assert_eq!(faults(text).len(), 8, "{:#?}", faults(text));
}

#[test]
fn every_service_has_a_container_and_a_database_role() {
    let compose = services(&read("docker-compose.yml"));
    let roles = read("deploy/postgres/roles.sh");
    let folders = fs::read_dir(repo::root().join("backend/services")).expect("services");
    for folder in folders {
        let name = folder.expect("a folder").file_name().to_string_lossy().into_owned();
        assert!(compose.iter().any(|(service, _)| *service == name), "{name} has no container");
        assert!(roles.split([' ', ';']).any(|word| word == name), "{name} has no role in roles.sh");
    }
}

#[test]
fn the_gateway_of_a_split_shop_knows_every_service_and_the_router() {
    let compose = services(&read("docker-compose.yml"));
    let find = |name: &str| &compose.iter().find(|(service, _)| service == name).expect(name).1;
    let settings = &find("gateway")["environment"];
    let folders = fs::read_dir(repo::root().join("backend/services")).expect("services");
    for folder in folders {
        let name = folder.expect("a folder").file_name().to_string_lossy().into_owned();
        for (table, port) in [("UPSTREAMS", 8080), ("SUBGRAPHS", 8090)] {
            let setting = format!("BV_GATEWAY__{table}__{}", name.to_ascii_uppercase());
            let known = settings[setting.as_str()].as_str().unwrap_or_default();
            assert!(name == "gateway" || known == format!("http://{name}:{port}"), "{setting}");
        }
    }
    assert_eq!(settings["BV_FEDERATION__MODE"], "external");
    assert_eq!(settings["BV_FEDERATION__URL"], "http://router:4000/graphql");
    assert_eq!(words(&find("router")["profiles"]), ["split"]);
    // Where the checked-in supergraph has the parts, and where the image looks for them.
    let supergraph = read("backend/contracts/graphql/supergraph.graphql");
    assert!(supergraph.contains("url: \"http://127.0.0.1:8090/subgraphs/"));
    let stage = stage(&read("deploy/Dockerfile"), "federation");
    assert!(stage.contains("s|//127.0.0.1:8090/|//gateway:8090/|") && stage.contains("PORT=4000"));
}

#[test]
fn files_that_containers_mount_exist() {
    for (name, service) in services(&read("docker-compose.yml")) {
        for mount in words(&service["volumes"]).iter().filter(|mount| mount.starts_with("./")) {
            let path = mount.split(':').next().unwrap_or_default();
            assert!(repo::root().join(path).is_file(), "{name} mounts {path}");
        }
    }
}

#[test]
fn images_are_pinned_unprivileged_and_of_the_pinned_toolchain_and_engines() {
    let dockerfile = read("deploy/Dockerfile");
    let mut stages = BTreeSet::new();
    for line in dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")) {
        let (image, stage) = line.split_once(" AS ").expect("a named stage");
        assert!(stages.contains(image) || image.contains(':'), "{image} is not pinned");
        assert!(!image.ends_with(":latest"), "{image} is not pinned");
        stages.insert(stage.to_owned());
    }
    // The first runs against engines, the last brings its own.
    let starts = [
        ("service", "CMD [\"serve\", \"all\"]"),
        ("federation", "ENTRYPOINT [\"/usr/local/bin/hive_router\"]"),
        ("all-in-one", "CMD [\"up\"]"),
    ];
    for (name, start) in starts {
        let body = stage(&dockerfile, name);
        assert!(body.contains("\nUSER 65532"), "{name} runs as root");
        assert!(body.trim_end().ends_with(start), "{name} does not end with {start}");
    }
    let toolchain = read("rust-toolchain.toml");
    let channel = toolchain.split('"').nth(1).expect("a channel");
    assert!(
        dockerfile.contains(&format!("FROM rust:{channel}-")),
        "another toolchain than {channel}"
    );

    let engines = read("backend/engines/engines.toml");
    for part in ["[broker]", "[router]"] {
        let pin = engines.split(part).nth(1).expect("a pin");
        let value = |key: &str| {
            let line = pin.lines().find_map(|line| line.strip_prefix(key));
            line.expect("a value").trim_matches('"').to_owned()
        };
        let install =
            format!("cargo install {} --version {} ", value("name = "), value("version = "));
        assert!(dockerfile.contains(&install), "another {part} than `{install}`");
    }
}
