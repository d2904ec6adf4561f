//! docs/schemes.md, printed from the data.

use super::{PRESETS, Preset, checked, copies, places, proof, time, types};

const HEAD: &str = "# Schemes

How the providers that hookward knows by name prove that a webhook is theirs, and what to set up where. This page is printed by
`hookward schemes --markdown` from the data that the gateway runs on; a test keeps it current. One scheme in the terminal:
`hookward schemes stripe`; for machines: `hookward schemes --json`.

Any of several secrets may match, so that they can be rotated. Everything is compared in constant time over the raw bytes. Where
a scheme signs a time, older (and newer) requests are refused with 401; `tolerance` changes by how much. Where it signs the URL,
`public_url` must say how the provider calls the source. Handshakes are answered and kept nowhere.

*Checked against* says whose published code the scheme was tried with: theirs signs and we accept, or `hookward sign` signs and theirs
accepts, and one changed byte is refused. Where the provider publishes none but somebody else does, it says so. Where nobody
publishes such code, the scheme was built by the provider's description alone.

Other senders: `hmac` (header, prefix, algorithm, encoding, template of what is signed), `token`, `basic`, `none`; with
`handshake: cloudevents`, `microsoft-graph`, `monday`, `okta` or `strava` where they ask something first. config/full.yaml shows every key.

| scheme | provider | proof | tolerance | checked against |
| --- | --- | --- | --- | --- |
";

/// The page.
pub(super) fn markdown() -> String {
    let mut page = HEAD.to_owned();
    for preset in PRESETS {
        let Preset { name, provider, .. } = preset;
        let time = time(preset).unwrap_or_else(|| "no time is signed".to_owned());
        page.push_str(&format!(
            "| [`{name}`](#{name}) | {provider} | {} | {time} | {} |\n",
            proof(preset),
            checked(preset)
        ));
    }
    PRESETS.iter().for_each(|preset| section(&mut page, preset));
    page
}

fn section(page: &mut String, preset: &Preset) {
    page.push_str(&format!("\n## {}\n\n{}: <{}>\n\n", preset.name, preset.provider, preset.page));
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            page.push_str(&format!("- {name}: {text}\n"));
        }
    };
    line("set up", preset.setup);
    line("`secrets`", preset.secret);
    if preset.scheme().signs_url() {
        line("`public_url`", "required: the URL is signed");
    }
    line("id", &places(preset.event_id));
    line("type", &types(preset));
    line("copies are told by", copies(preset));
    line("content types", &preset.content_types.join(", "));
    preset.handshakes.iter().for_each(|handshake| line("handshake", handshake.what));
    line("note", preset.note);
}
