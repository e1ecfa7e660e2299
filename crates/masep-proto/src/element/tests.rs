use super::*;
use crate::{Dict, EncodeError, Limit};

fn element(xml: &str) -> Element {
    Element::parse(xml).unwrap()
}

#[test]
fn foreign_xml_is_brought_into_the_form_of_elementtree() {
    for (xml, canonical) in [
        ("<a/>", "<a />"),
        ("<a></a>", "<a />"),
        ("<a><!-- c --></a>", "<a />"),
        ("<a\n b = 'c'\t/>", "<a b=\"c\" />"),
        (
            "<a b='\"\u{e9}>&apos;\t'/>",
            "<a b=\"&quot;&#233;&gt;' \" />",
        ),
        ("<a>x<![CDATA[<&>]]>y<?p?>z</a>", "<a>x&lt;&amp;&gt;yz</a>"),
        (
            "<a>&#x41;&quot;>\u{6f22}&#10;</a>",
            "<a>A\"&gt;&#28450;\n</a>",
        ),
        ("<a>\r\n\0<b/>\r</a>", "<a>\r\n\0<b />\r</a>"),
        ("<?xml version='1.0'?> <a/> <!-- c -->", "<a />"),
        ("\u{feff}<a/>", "<a />"),
        (
            "<\u{e9} \u{6f22}='\u{e9}'/>",
            "<\u{e9} \u{6f22}=\"&#233;\" />",
        ),
        ("<a>\n <b> <c/></b>\n</a>", "<a>\n <b> <c /></b>\n</a>"),
    ] {
        let read = element(xml);
        assert_eq!(read.as_xml(), canonical, "{xml}");
        assert_eq!(element(canonical), read);
    }
}

#[test]
fn namespaces_are_declared_as_elementtree_declares_them() {
    for (xml, canonical) in [
        (
            "<a xmlns='urn:x'><b/></a>",
            "<ns0:a xmlns:ns0=\"urn:x\"><ns0:b /></ns0:a>",
        ),
        ("<a xmlns:z='urn:z'/>", "<a />"),
        (
            "<p:a xmlns:p='urn:x' p:b='1' c='2'><q:d xmlns:q='urn:\"'/><e xmlns='urn:x'/></p:a>",
            "<ns0:a xmlns:ns0=\"urn:x\" xmlns:ns1=\"urn:&quot;\" ns0:b=\"1\" c=\"2\"><ns1:d /><ns0:e /></ns0:a>",
        ),
        (
            "<h:a xmlns:h='http://www.w3.org/1999/xhtml' xmlns:b='urn:b'><b:c/></h:a>",
            "<html:a xmlns:html=\"http://www.w3.org/1999/xhtml\" xmlns:ns1=\"urn:b\"><ns1:c /></html:a>",
        ),
        ("<a xml:lang='fr'/>", "<a xml:lang=\"fr\" />"),
        (
            "<a xmlns='urn:x'><b xmlns=''/></a>",
            "<ns0:a xmlns:ns0=\"urn:x\"><b /></ns0:a>",
        ),
    ] {
        let read = element(xml);
        assert_eq!(read.as_xml(), canonical, "{xml}");
        assert_eq!(element(canonical), read);
        assert_eq!(read.to_node().to_element().unwrap(), read);
    }
}

#[test]
fn declarations_are_sorted_by_their_prefixes_as_text() {
    let children: String = (0..11).map(|i| format!("<a xmlns=\"urn:{i}\"/>")).collect();
    let xml = element(&format!("<r>{children}</r>"));
    let first = xml.as_xml().find("xmlns:ns1=").unwrap();
    let tenth = xml.as_xml().find("xmlns:ns10=").unwrap();
    let second = xml.as_xml().find("xmlns:ns2=").unwrap();
    assert!(first < tenth && tenth < second);
}

#[test]
fn an_element_of_a_message_is_a_slice_of_its_bytes() {
    let bytes = Bytes::from_static(
        b"<Message msg_type=\"observation\" src_sub_app=\"e\"><dict><item key=\"o\">\
          <State name=\"s\"><Object />x</State></item></dict></Message>",
    );
    let message = crate::Message::from_bytes(bytes.clone()).unwrap();
    let state = message.param("o").and_then(Value::as_element).unwrap();
    let within = |part: &str| bytes.as_ptr_range().contains(&part.as_ptr());
    assert!(within(state.as_xml()));
    let object = state.children().next().unwrap();
    assert!(within(object.as_xml()) && within(object.tail()));
    assert!(within(&state.attribute("name").unwrap()));
}

#[test]
fn an_element_can_be_read_without_a_tree() {
    let state = element(
        "<State name=\"a&amp;b\" step=\"3\">t<Object name=\"x\"><A /></Object> 1 <Object name=\"y\" />2</State>",
    );
    assert_eq!(state.name(), "State");
    assert_eq!(state.attribute("name").as_deref(), Some("a&b"));
    assert_eq!(state.attribute("nam"), None);
    let attributes: Vec<_> = state.attributes().collect();
    assert_eq!(attributes, [("name", "a&b".into()), ("step", "3".into())]);
    assert_eq!(state.text(), "t");
    let children: Vec<_> = state.children().collect();
    assert_eq!(children.len(), 2);
    assert_eq!(children[0].as_xml(), "<Object name=\"x\"><A /></Object>");
    assert_eq!((&**children[0].tail(), &**children[1].tail()), (" 1 ", "2"));
    assert_eq!(state.child("Object").unwrap(), children[0]);
    assert_eq!(state.child("A"), None);
    let empty = element("<a />");
    assert_eq!((empty.name(), &*empty.text()), ("a", ""));
    assert_eq!(empty.children().count() + empty.attributes().count(), 0);
}

#[test]
fn a_child_of_an_element_in_a_namespace_is_an_element_of_its_own() {
    let root = element("<a xmlns='urn:x' xmlns:y='urn:y'><y:b c='d'/>tail</a>");
    assert_eq!(root.name(), "ns0:a");
    assert_eq!(root.attributes().count(), 0);
    let child = root.children().next().unwrap();
    assert_eq!(child.as_xml(), "<ns0:b xmlns:ns0=\"urn:y\" c=\"d\" />");
    assert_eq!(child.tail(), "tail");
    let node = root.to_node();
    assert_eq!(node.name, "{urn:x}a");
    assert_eq!(node.children[0].name, "{urn:y}b");
}

#[test]
fn characters_can_stand_for_themselves() {
    let read = element("<a b='\u{e9}&#10;'>\u{6f22}&lt;&#128512;&amp;#233;</a>");
    assert_eq!(
        read.as_xml(),
        "<a b=\"&#233;&#10;\">&#28450;&lt;&#128512;&amp;#233;</a>"
    );
    assert_eq!(
        read.to_unicode(),
        "<a b=\"\u{e9}&#10;\">\u{6f22}&lt;\u{1f600}&amp;#233;</a>"
    );
    assert_eq!(Element::parse(read.to_unicode()).unwrap(), read);
}

#[test]
fn values_and_the_elements_that_spell_them() {
    let value = Value::from(Dict::from([("a", Value::from((1, "x", 0.5)))]));
    let spelled = value.to_element();
    assert_eq!(
        spelled.as_xml(),
        "<dict><item key=\"a\"><tuple><item><int>1</int></item><item><str>x</str></item>\
         <item><float>0.5</float></item></tuple></item></dict>"
    );
    assert_eq!(spelled.to_value().unwrap(), value);
    let state = element("<State />").with_tail("t");
    assert_eq!(state.to_value().unwrap(), Value::Element(state.clone()));
    assert_eq!(Value::Element(state.clone()).to_element(), state);
    assert!(element("<int>x</int>").to_value().is_err());
}

#[test]
fn a_tree_is_written_and_read_back() {
    let mut node = Node::new("State")
        .with_attribute("name", "a\"\n")
        .with_text("<")
        .with_child(Node::new("{urn:x}b").with_attribute("{urn:y}c", "d"))
        .with_child(Node::new("e"));
    node.children[1].set_tail("&");
    let written = node.to_element().unwrap();
    assert_eq!(
        written.as_xml(),
        "<State xmlns:ns0=\"urn:x\" xmlns:ns1=\"urn:y\" name=\"a&quot;&#10;\">&lt;\
         <ns0:b ns1:c=\"d\" /><e />&amp;</State>"
    );
    assert_eq!(written.to_node(), node);
    assert_eq!(node.set_attribute("name", "b").as_deref(), Some("a\"\n"));
    assert_eq!(node.attribute("name").map(|value| &**value), Some("b"));
    assert_eq!(node.remove_attribute("name").as_deref(), Some("b"));
    assert_eq!(node.attributes().len(), 0);
}

#[test]
fn names_that_xml_does_not_take_are_refused() {
    for name in [
        "",
        "a b",
        "1",
        "a:b",
        "a>",
        "{urn:x}",
        "{urn:x}a b",
        "{a}b}c",
        "{http://www.w3.org/2000/xmlns/}a",
    ] {
        let refused = Err(EncodeError::InvalidName(QName::from(name).to_string()));
        assert_eq!(Node::new(name).to_element(), refused, "{name}");
        let attribute = Node::new("a").with_attribute(name, "");
        assert_eq!(attribute.to_element(), refused, "{name}");
        let child = Node::new("a").with_child(Node::new(name));
        assert_eq!(child.to_element(), refused, "{name}");
    }
    assert!(
        Node::new("a")
            .with_attribute("xmlns", "urn:x")
            .to_element()
            .is_err()
    );
    assert!(Node::new("\u{e9}").to_element().is_ok());
}

#[test]
fn a_tree_that_is_too_deep_is_refused() {
    let nested =
        |depth| (1..depth).fold(Node::new("a"), |inner, _| Node::new("a").with_child(inner));
    assert!(nested(1_024).to_element().is_ok());
    let Err(EncodeError::Limit(exceeded)) = nested(1_025).to_element() else {
        panic!("too deep, and taken");
    };
    assert_eq!(exceeded.limit, Limit::Depth);
}

#[test]
fn an_attribute_is_set_where_it_stands_or_behind_the_others() {
    for (xml, expected) in [
        ("<a />", r#"<a n="&lt;&quot;&#233;" />"#),
        ("<a>x</a>", r#"<a n="&lt;&quot;&#233;">x</a>"#),
        (
            r#"<a m="n=&quot;" n="" o="2"><b n="3" /></a>"#,
            r#"<a m="n=&quot;" n="&lt;&quot;&#233;" o="2"><b n="3" /></a>"#,
        ),
        (
            r#"<p:a xmlns:p="u" p:n="1" />"#,
            r#"<ns0:a xmlns:ns0="u" ns0:n="1" n="&lt;&quot;&#233;" />"#,
        ),
    ] {
        let element = Element::parse(xml).unwrap();
        let element = element.with_attribute("n", "<\"\u{e9}").unwrap();
        assert_eq!(element.as_xml(), expected);
        assert_eq!(Element::parse(expected).unwrap(), element);
        assert_eq!(element.attribute("n").as_deref(), Some("<\"\u{e9}"));
    }
    for name in ["", "1", "p:a", "xmlns", "a b"] {
        let element = Element::parse("<a />").unwrap();
        assert!(element.with_attribute(name, "").is_err(), "{name}");
    }
}
