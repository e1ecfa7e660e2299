//! Well-formed and other inputs, as expat has it.

use super::*;
use crate::xml::document::Document;

/// Reads a whole document: its canonical depth, or what is wrong at which byte.
fn scan(xml: &str) -> Result<(usize, bool), (&'static str, usize)> {
    let limits = Limits::default();
    let read = || {
        let mut scanner = Scanner::new(xml, 0, &limits);
        scanner.root()?;
        let found = scanner.skip()?;
        scanner.epilog()?;
        Ok(found)
    };
    read().map_err(|fault: Fault| (fault.kind().name(), fault.at()))
}

#[test]
fn what_elementtree_writes_is_canonical() {
    for (xml, depth) in [
        ("<a />", 1),
        (
            "<a b=\"\" c=\"'&amp;&lt;&gt;&quot;&#10;&#09;&#13;&#233;\" />",
            1,
        ),
        ("<a>text \"'\r\n\t&amp;&lt;&gt;&#233;</a>", 1),
        ("<a><b /><b><c /></b>x</a>", 3),
        ("<a xml:lang=\"fr\"><xml:b /></a>", 2),
        ("<a>\0\u{1}]] ]</a>", 1),
        ("<\u{e9}><\u{6f22} /></\u{e9}>", 2),
    ] {
        assert_eq!(scan(xml), Ok((depth, true)), "{xml}");
    }
}

#[test]
fn what_elementtree_writes_otherwise_is_not() {
    for xml in [
        "<a/>",
        "<a></a>",
        "<a  />",
        "<a ></a>",
        "<a\n/>",
        "<a><b></b></a>",
        "<a>x</a >",
        "<a b='c' />",
        "<a b = \"c\" />",
        "<a  b=\"c\" />",
        "<a b=\"c\"/>",
        "<a b=\">\" />",
        "<a b=\"\t\" />",
        "<a b=\"&apos;\" />",
        "<a b=\"\u{e9}\" />",
        "<a b=\"&#xe9;\" />",
        "<a>\u{e9}</a>",
        "<a>></a>",
        "<a>&quot;</a>",
        "<a>&#10;</a>",
        "<a>&#0233;</a>",
        "<a><!-- c --></a>",
        "<a><!-- c -->x</a>",
        "<a>x<?p?></a>",
        "<a><![CDATA[x]]></a>",
        "<a><![CDATA[]]></a>",
        "<a xmlns:x=\"urn:x\" />",
        "<a><b xmlns=\"\" /></a>",
        "<x:a xmlns:x=\"urn:x\" />",
    ] {
        assert!(
            matches!(scan(xml), Ok((_, false))),
            "{xml}: {:?}",
            scan(xml)
        );
    }
}

#[test]
fn around_the_root_there_may_be_comments_instructions_and_space() {
    for xml in [
        " \n<a/>\t ",
        "<!-- c --><?p x?><a/><!----><?q?>",
        "<?xml-stylesheet x?><a/>",
    ] {
        assert!(scan(xml).is_ok(), "{xml}");
    }
}

#[test]
fn what_expat_refuses_is_refused() {
    for (xml, kind, at) in [
        ("BYE", "syntax", 0),
        ("<a/>x", "syntax", 4),
        ("<a/><b/>", "syntax", 4),
        ("<a/>\0", "syntax", 4),
        ("<a/><!DOCTYPE a>", "syntax", 4),
        ("<!DOCTYPE a><a/>", "doctype", 0),
        (" <?xml version='1.0'?><a/>", "syntax", 1),
        ("<a><?XML x?></a>", "syntax", 3),
        ("<a><?p:q ?></a>", "syntax", 6),
        ("<a><? p?></a>", "syntax", 5),
        ("<a><?p\u{1}?></a>", "syntax", 6),
        ("<a><?p \u{1}?></a>", "syntax", 7),
        ("<!x><a/>", "syntax", 0),
        ("<![CDATA[x]]><a/>", "syntax", 0),
        ("<a><!x></a>", "syntax", 3),
        ("<a><!DOCTYPE a></a>", "syntax", 3),
        ("<a><!-- a -- b --></a>", "syntax", 12),
        ("<a><!--\u{1}--></a>", "syntax", 7),
        ("<a><![CDATA[\u{1}]]></a>", "syntax", 12),
        ("<a>]]></a>", "syntax", 5),
        ("<a>\u{fffe}</a>", "syntax", 3),
        ("<a b=\"\u{ffff}\" />", "syntax", 6),
        ("<a>&nbsp;</a>", "undefined_entity", 3),
        ("<a b=\"&nbsp;\" />", "undefined_entity", 6),
        ("<a>a & b</a>", "syntax", 6),
        ("<a>a < b</a>", "syntax", 6),
        ("<a b=\"<\" />", "syntax", 6),
        ("<a b=\"1\" b=\"2\" />", "syntax", 9),
        ("<a b=\"1\"c=\"2\" />", "syntax", 8),
        ("<a b />", "syntax", 5),
        ("<a b=c />", "syntax", 5),
        ("<a / >", "syntax", 4),
        ("<a <b />", "syntax", 3),
        ("< a/>", "syntax", 1),
        ("<1a/>", "syntax", 1),
        ("<:a/>", "syntax", 1),
        ("<a:/>", "syntax", 3),
        ("<a::b/>", "syntax", 3),
        ("<a\u{d7}/>", "syntax", 2),
        ("<a\0/>", "syntax", 2),
        ("</a>", "syntax", 1),
        ("<a></b>", "syntax", 5),
        ("<a></ab>", "syntax", 5),
        ("<a></a b>", "syntax", 7),
        ("<a></ a>", "syntax", 5),
        ("<a><b></a></b>", "syntax", 8),
        ("<x:a/>", "unbound_prefix", 0),
        ("<a><b x:c=\"\"/></a>", "unbound_prefix", 3),
        ("<a><b xmlns:x=\"u\"/><x:c/></a>", "unbound_prefix", 19),
        ("<xmlns:a/>", "unbound_prefix", 0),
        ("<a xmlns:x=\"\"/>", "syntax", 0),
        (
            "<a xmlns:x=\"u\" xmlns:y=\"u\" x:b=\"\" y:b=\"\"/>",
            "syntax",
            0,
        ),
    ] {
        assert_eq!(scan(xml), Err((kind, at)), "{xml:?}");
    }
}

#[test]
fn an_input_that_ends_too_soon_is_truncated_wherever_it_ends() {
    let xml = "<?p x?><!-- c --><x:a xmlns:x='urn:x' b=\"&amp;\"><b />t&#233;<![CDATA[x]]></x:a >";
    assert!(scan(xml).is_ok());
    for end in 0..xml.len() {
        let (kind, at) = scan(&xml[..end]).unwrap_err();
        assert_eq!(kind, "truncated", "{}", &xml[..end]);
        assert!(at <= end);
    }
}

#[test]
fn many_attributes_are_compared_too() {
    let attributes: String = (0..100).map(|i| format!(" a{i}=\"\"")).collect();
    assert!(scan(&format!("<a{attributes} />")).is_ok());
    let xml = format!("<a{attributes} a7=\"\" />");
    let at = xml.rfind("a7").unwrap();
    assert_eq!(scan(&xml), Err(("syntax", at)));
}

#[test]
fn what_comes_before_broken_bytes_counts() {
    let limits = Limits::default();
    let error = |input: &'static [u8]| {
        let document = Document::read(input.into(), &limits).unwrap();
        let mut scanner = Scanner::new(&document.text, document.start, &limits);
        let result = scanner.root().and_then(|()| scanner.skip().map(drop));
        let error = document.finish(result).unwrap_err();
        (error.kind.name(), error.position.offset)
    };
    assert_eq!(error(b"<a>\xff</a>"), ("encoding", 3));
    assert_eq!(error(b"<a b=\"\xff\" />"), ("encoding", 6));
    assert_eq!(error(b"<a></b>\xff</a>"), ("syntax", 5));
    assert_eq!(error(b"<a/>\xff"), ("encoding", 4));
}
