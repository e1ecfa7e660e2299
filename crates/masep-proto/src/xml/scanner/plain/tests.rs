//! The short way finds what the other way finds.

use proptest::prelude::*;

use crate::xml::fault::Fault;
use crate::xml::scanner::Scanner;
use crate::{DecodeErrorKind, Limits};

/// The depth of an element, true if it is canonical, its end and the number of nodes; or the fault and its
/// place.
type Found = Result<(usize, bool, usize, usize), (DecodeErrorKind, usize)>;

/// Skips the first element in an element with this attribute.
fn skip(attribute: &str, xml: &str, limits: &Limits) -> Found {
    let document = format!("<r {attribute}=\"u\">{xml}</r>");
    let mut scanner = Scanner::new(&document, 0, limits);
    let mut found = || {
        scanner.root()?;
        scanner.read_tag()?;
        let (depth, canonical) = scanner.skip()?;
        Ok((depth, canonical, scanner.at, scanner.nodes))
    };
    found().map_err(|fault: Fault| (fault.kind().clone(), fault.at()))
}

/// Skips an element on both ways: where a namespace is declared, the short one is not taken.
fn assert_same(xml: &str, limits: &Limits) -> Found {
    let found = skip("xmlns-q", xml, limits);
    assert_eq!(found, skip("xmlns:q", xml, limits), "{xml}");
    found
}

/// Skips it also wherever the input may end, and with all limits that could be reached.
fn check(xml: &str) {
    let whole = assert_same(xml, &Limits::default());
    for end in (0..xml.len()).filter(|end| xml.is_char_boundary(*end)) {
        let cut = &xml[..end];
        let document = |attribute| {
            let document = format!("<r {attribute}=\"u\">{cut}");
            let limits = Limits::default();
            let mut scanner = Scanner::new(&document, 0, &limits);
            let found = scanner.root().and_then(|()| scanner.skip());
            found.map_err(|fault| (fault.kind().clone(), fault.at()))
        };
        assert_eq!(document("xmlns-q"), document("xmlns:q"), "{cut}");
    }
    let nodes = whole.map_or(8, |(.., nodes)| nodes);
    for limit in 0..=nodes + 1 {
        let _ = assert_same(xml, &Limits::default().nodes(limit));
        let _ = assert_same(xml, &Limits::default().depth(limit));
    }
    for limit in 0..20 {
        let _ = assert_same(xml, &Limits::default().text_bytes(limit));
    }
}

#[test]
fn what_pymasep_writes() {
    for xml in [
        "<item><int>5</int></item>",
        "<list><item><int>1</int></item><item><str>ab &amp; &#321;</str></item></list>",
        "<dict><item key=\"a b\"><float>0.1</float></item><item key=\"c\"><bool>True</bool></item></dict>",
        "<tuple><item><NoneType>None</NoneType></item><item><list /></item></tuple>",
        "<Characteristic name=\"a\" state=\"run\"><str content=\"empty\" /></Characteristic>",
        "<a><Object name=\"a\" state=\"run\"><Object name=\"b\" state=\"run\"><int>1</int></Object>\
         </Object><Object name=\"c\" nature=\"d\" state=\"run\"><dict /></Object></a>",
        "<State name=\"State\" state=\"init\" is_final=\"False\" env_step=\"12\"><head_idx>0</head_idx></State>",
        "<a><b>text with child<c />and tail</b>and &lt;tail&gt;</a>",
        "<averyveryverylongname><averyveryverylongname>1</averyveryverylongname></averyveryverylongname>",
    ] {
        let (_, canonical, at, _) = assert_same(xml, &Limits::default()).unwrap();
        assert!(
            canonical && at == "<r xmlns-q=\"u\">".len() + xml.len(),
            "{xml}"
        );
        check(xml);
    }
}

#[test]
fn what_nearly_is_what_pymasep_writes() {
    for xml in [
        "<a></a>",
        "<a><b></b></a>",
        "<a><item><int></int></item></a>",
        "<a><item><int /></item></a>",
        "<a><item></item></a>",
        "<a><item key=\"\"><int>1</int></item></a>",
        "<a><item key=\"b\" ><int>1</int></item></a>",
        "<a><item key=\"b\" c=\"d\"><int>1</int></item></a>",
        "<a><item key=\"b\"c=\"d\"><int>1</int></item></a>",
        "<a><item key=\"<\"><int>1</int></item></a>",
        "<a><item key=\"&#252;\"><int>1</int></item></a>",
        "<a><item><int>1</str></item></a>",
        "<a><item><int>1</int> </item></a>",
        "<a><item><int>1</int></item ></a>",
        "<a><item><int>1<!-- c --></int></item></a>",
        "<a><item><int>1</int><int>2</int></item></a>",
        "<a><item><int>1</int></list></a>",
        "<a><items><int>1</int></items></a>",
        "<a>1</b>",
        "<a>1</ab>",
        "<ab>1</a>",
        "<a>1</a >",
        "<a/>",
        "<a ><b/></a>",
        "<a:b>1</a:b>",
        "<1>1</1>",
        "<>1</>",
        "<_>1</_>",
        "<a b=\"1\" b=\"1\" />",
        "<a b=\"1\" c=\"1\" b=\"1\">1</a>",
        "<a controller=\"1\" controlled=\"1\" control=\"1\">1</a>",
        "<a controller=\"1\" controller=\"1\">1</a>",
        "<a xmlns=\"u\">1</a>",
        "<a xmlns:b=\"u\"><b:c>1</b:c></a>",
        "<a b=\"1\"c=\"2\">1</a>",
        "<a b='1'>1</a>",
        "<a b=\"<\">1</a>",
        "<a b=\"&quot;&#252;\">1</a>",
        "<a b=\"\t\">1</a>",
        "<a b=\"\u{1}\">\u{1}</a>",
        "<a b=\"\u{e9}\">\u{e9}</a>",
        "<a>1 > 2</a>",
        "<a>]]></a>",
        "<a>x<!-- c -->y<![CDATA[z]]></a>",
        "<a>&quot;&apos;&#x41;</a>",
        "<\u{e9}>1</\u{e9}>",
    ] {
        check(xml);
    }
}

/// The end of a tag is remembered, but the tag has to be one without it too.
#[test]
fn an_end_of_a_tag_that_came_before() {
    let first = "<a name=\"1\" state=\"run\">1</a>";
    for second in [
        "<b name=\"2\" state=\"run\">1</b>",
        "<b state=\"2\" state=\"run\">1</b>",
        "<b name=\"2\" name=\"3\" state=\"run\">1</b>",
        "<b xmlns=\"2\" state=\"run\">1</b>",
        "<b name=\"2\" nature=\"3\" state=\"run\"><c /></b>",
        "<b name=\"2\" state=\"run\" x=\"1\">1</b>",
        "<b name=\"2\" state=\"run\"></b>",
        "<b name=\"2&quot;\" state=\"run\">1</b>",
        "<b>\" state=\"run\"></b>",
        "<b name=\"2\" state=\"ran\">1</b>",
        "<b name=\"2\" state=\"a much longer state\">1</b>",
    ] {
        for xml in [
            format!("<r>{first}{second}</r>"),
            format!("<r>{first}{second}{first}{second}</r>"),
        ] {
            check(&xml);
        }
    }
}

#[test]
fn references_at_their_limits() {
    for number in [
        "0", "9", "10", "13", "65", "127", "128", "0128", "55295", "55296", "57343", "57344",
        "65533", "65534", "65535", "65536", "1114111", "1114112", "11141110", "x41", "xe9", "",
    ] {
        check(&format!("<a><b>1&#{number};2</b>&#{number};</a>"));
        check(&format!("<a b=\"1&#{number};\">2</a>"));
    }
}

/// XML as pymasep writes it, mostly.
fn element() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec![
        "a",
        "int",
        "item",
        "Object",
        "Characteristic",
        "ObjectState",
        "head_idx",
        "averyveryverylongname",
    ]);
    let text = prop::sample::select(vec![
        "",
        "1",
        "True",
        "a text of more than a word",
        "&lt;&amp;&gt;",
        "&#321;",
        "&#65535;",
        "&quot;",
        ">",
        "\u{e9}",
    ]);
    let attribute = (
        prop::sample::select(vec![
            "name",
            "state",
            "nature",
            "key",
            "env_step",
            "controller",
            "controlled",
        ]),
        prop::sample::select(vec![
            "",
            "run",
            "init",
            "State.keeper",
            "&amp;",
            "&#233;",
            "'",
            "\t",
        ]),
    );
    let attributes = prop::collection::vec(attribute, 0..4).prop_map(|attributes| {
        let written = attributes
            .iter()
            .map(|(name, value)| format!(" {name}=\"{value}\""));
        written.collect::<String>()
    });
    let leaf =
        (name.clone(), attributes.clone(), text.clone()).prop_map(|(name, attributes, text)| {
            match text {
                "" => format!("<{name}{attributes} />"),
                _ => format!("<{name}{attributes}>{text}</{name}>"),
            }
        });
    leaf.prop_recursive(5, 40, 6, move |inner| {
        let children =
            prop::collection::vec((inner, prop::bool::weighted(0.1), text.clone()), 1..6);
        (name.clone(), attributes.clone(), children).prop_map(|(name, attributes, children)| {
            let children = children
                .iter()
                .map(|(child, has_tail, tail)| match has_tail {
                    true => format!("{child}{tail}"),
                    false => child.clone(),
                });
            format!(
                "<{name}{attributes}>{}</{name}>",
                children.collect::<String>()
            )
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn both_ways_find_the_same(xml in element(), nodes in 1usize..60, depth in 1usize..12, text_bytes in 0usize..40) {
        let _ = assert_same(&xml, &Limits::default());
        let _ = assert_same(&xml, &Limits::default().nodes(nodes));
        let _ = assert_same(&xml, &Limits::default().depth(depth));
        let _ = assert_same(&xml, &Limits::default().text_bytes(text_bytes));
    }

    /// Bytes of it are replaced by others that mean something, left out, or come twice.
    #[test]
    fn both_ways_find_the_same_in_what_is_broken(
        xml in element(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), 0usize..3, prop::sample::select(b"<>/=\"'& ;#a1_-!?\t\x01".to_vec())), 1..4),
    ) {
        let mut characters: Vec<char> = xml.chars().collect();
        for (place, change, byte) in changes {
            let place = place.index(characters.len());
            match change {
                0 => characters[place] = char::from(byte),
                1 if characters.len() > 1 => drop(characters.remove(place)),
                _ => characters.insert(place, characters[place]),
            }
        }
        let _ = assert_same(&characters.iter().collect::<String>(), &Limits::default());
    }
}
