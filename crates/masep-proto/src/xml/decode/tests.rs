//! Each rule of decoding, by bytes.

use super::*;
use crate::{Limit, LimitExceeded};

/// A message with this XML as the value of its parameter `k`.
fn around(xml: &str) -> String {
    format!(
        "<Message msg_type=\"action\" src_sub_app=\"1\"><dict><item key=\"k\">{xml}</item></dict></Message>"
    )
}

/// The value that this XML is read as.
fn read(xml: &str) -> Result<Value, DecodeErrorKind> {
    match Message::from_bytes(around(xml)) {
        Ok(message) => Ok(message.param("k").cloned().expect("the parameter k")),
        Err(error) => Err(error.kind),
    }
}

fn assert_reads(cases: impl IntoIterator<Item = (&'static str, Value)>) {
    for (xml, value) in cases {
        assert_eq!(read(xml), Ok(value), "{xml}");
    }
}

fn assert_stays_element(xml: &str) {
    assert_eq!(
        read(xml),
        Ok(Value::Element(Element::parse(xml).unwrap())),
        "{xml}"
    );
}

fn params(xml: &str) -> Result<Value, DecodeErrorKind> {
    let message = format!("<Message msg_type=\"end\" src_sub_app=\"x\">{xml}</Message>");
    match Message::from_bytes(message) {
        Ok(message) => Ok(message.params),
        Err(error) => Err(error.kind),
    }
}

#[test]
fn a_scalar_is_its_text() {
    assert_reads([
        ("<str>a</str>", "a".into()),
        ("<str> \t\n </str>", " \t\n ".into()),
        ("<str x=\"y\">a</str>", "a".into()),
        ("<int> 5\n</int>", 5.into()),
        ("<int base=\"16\">10</int>", 10.into()),
        ("<int>&#1633;</int>", 1.into()),
        ("<bool>True</bool>", true.into()),
        ("<bool>False</bool>", false.into()),
    ]);
}

#[test]
fn any_text_but_false_is_true() {
    for text in [
        "true",
        "false",
        "0",
        " ",
        "None",
        "False ",
        "&lt;class 'a.B'&gt;",
    ] {
        assert_eq!(
            read(&format!("<bool>{text}</bool>")),
            Ok(true.into()),
            "{text:?}"
        );
    }
}

#[test]
fn a_scalar_without_a_text_is_none() {
    for xml in [
        "<str />",
        "<str></str>",
        "<str><!-- c --></str>",
        "<str><![CDATA[]]></str>",
        "<str content=\"full\" />",
        "<int/>",
        "<bool></bool>",
        "<type />",
    ] {
        assert_eq!(read(xml), Ok(Value::None), "{xml}");
    }
    assert_reads([
        ("<str content=\"empty\" />", "".into()),
        ("<str content='empty'></str>", "".into()),
        ("<str content=\"empty\"> </str>", " ".into()),
    ]);
}

#[test]
fn the_text_before_the_first_child_is_the_text_of_a_scalar() {
    assert_reads([
        ("<str>abc<b>x</b>def</str>", "abc".into()),
        ("<str> <b /></str>", " ".into()),
        ("<int>1<b><c/></b>2</int>", 1.into()),
    ]);
    for (xml, name) in [
        ("<str><b>x</b></str>", "str"),
        ("<str content=\"empty\"><b /></str>", "str"),
        ("<str><b />def</str>", "str"),
        ("<int><b /></int>", "int"),
        ("<bool><b /></bool>", "bool"),
        ("<type><b /></type>", "type"),
    ] {
        assert_eq!(
            read(xml),
            Err(DecodeErrorKind::ElementInScalar(name)),
            "{xml}"
        );
    }
}

#[test]
fn comments_instructions_and_cdata_are_part_of_no_text_but_what_they_hold() {
    assert_reads([
        ("<str>ab<!-- c -->cd<?x y?>e</str>", "abcde".into()),
        ("<str>x<![CDATA[<y>&amp;]]>z</str>", "x<y>&amp;z".into()),
        ("<str><![CDATA[a\r\nb\rc]]></str>", "a\nb\nc".into()),
        ("<int><![CDATA[12]]></int>", 12.into()),
        ("<!-- c --><int>1</int>", 1.into()),
    ]);
}

#[test]
fn texts_are_exact() {
    assert_reads([
        ("<str>\r</str>", "\r".into()),
        ("<str>a\r\nb\n\rc</str>", "a\r\nb\n\rc".into()),
        (
            "<str>a\0\u{1}\u{1b}\u{7f}b</str>",
            "a\0\u{1}\u{1b}\u{7f}b".into(),
        ),
        ("<str>&lt;&gt;&amp;&quot;&apos;</str>", "<>&\"'".into()),
        ("<str>&#32;&#9;&#10;&#13;</str>", " \t\n\r".into()),
        ("<str>&#28450;\u{e9}&#128512;</str>", "漢é😀".into()),
        ("<str>&#65535;&#65534;</str>", "\u{ffff}\u{fffe}".into()),
        ("<str>a > b ]] ]></str>", "a > b ]] ]>".into()),
    ]);
}

#[test]
fn a_text_that_begins_as_a_class_is_a_text() {
    assert_reads([
        (
            "<str>&lt;class 'os.path.join'&gt;</str>",
            "<class 'os.path.join'>".into(),
        ),
        ("<str>&lt;classroom&gt;</str>", "<classroom>".into()),
    ]);
    assert!(matches!(
        read("<int>&lt;class 'a.B'&gt;</int>"),
        Err(DecodeErrorKind::InvalidInt(_))
    ));
}

#[test]
fn a_type_is_the_first_text_between_quotes() {
    let name = |name: &str| Value::Type(TypeName::from(name));
    assert_reads([
        (
            "<type>&lt;class 'unittest.case.TestCase'&gt;</type>",
            name("unittest.case.TestCase"),
        ),
        ("<type>&lt;class 'int'&gt;</type>", name("int")),
        ("<type>&lt;class 'builtins.int'&gt;</type>", name("int")),
        ("<type>&lt;class '' 'b'&gt;</type>", name(" ")),
        ("<type>&lt;class '''b'&gt;</type>", name("b")),
        ("<type>&lt;class 'a' 'b'&gt;</type>", name("a")),
        ("<type>&lt;class'a.b'</type>", name("a.b")),
        ("<type>foo</type>", name("str")),
        ("<type>&lt;function f at 0x1&gt;</type>", name("str")),
        ("<type> &lt;class 'a.B'&gt;</type>", name("str")),
    ]);
    for text in [
        "&lt;class",
        "&lt;class int&gt;",
        "&lt;class 'int&gt;",
        "&lt;class ''&gt;",
    ] {
        assert!(
            matches!(
                read(&format!("<type>{text}</type>")),
                Err(DecodeErrorKind::InvalidType(_))
            ),
            "{text}"
        );
    }
}

#[test]
fn what_pymasep_writes_and_cannot_read_is_read() {
    assert_reads([
        ("<float>1.5</float>", 1.5.into()),
        ("<float>1e+16</float>", 1e16.into()),
        ("<float>-inf</float>", f64::NEG_INFINITY.into()),
        ("<float>1<!-- c -->&#46;5</float >", 1.5.into()),
        ("<NoneType>None</NoneType>", Value::None),
        ("<bytes>b''</bytes>", Value::Bytes(Bytes::new())),
        (
            "<bytes>b'a\\'b\"c&lt;&amp;&gt;'</bytes>",
            Value::Bytes("a'b\"c<&>".into()),
        ),
        (
            "<bytes>b'\\x00\\xff'</bytes>",
            Value::Bytes(Bytes::from_static(b"\0\xff")),
        ),
    ]);
    let Ok(Value::Float(nan)) = read("<float>nan</float>") else {
        panic!("nan is a float");
    };
    assert!(nan.is_nan());
}

#[test]
fn what_pymasep_would_not_write_so_stays_an_element() {
    for xml in [
        "<float>1.50</float>",
        "<float>1</float>",
        "<float> 1.5</float>",
        "<float />",
        "<float a=\"b\">1.5</float>",
        "<float>1.5<b /></float>",
        "<NoneType />",
        "<NoneType>none</NoneType>",
        "<NoneType>None<b /></NoneType>",
        "<bytes>b'\\x41'</bytes>",
        "<bytes>b\"a\"</bytes>",
        "<bytes>b'<b />'</bytes>",
        "<bytes />",
        "<bytearray>bytearray(b'abc')</bytearray>",
        "<Int>1</Int>",
        "<None>1</None>",
    ] {
        assert_stays_element(xml);
    }
}

#[test]
fn containers_hold_the_first_element_of_each_item() {
    let list = |items: &[i32]| Value::List(items.iter().map(|i| (*i).into()).collect());
    assert_reads([
        ("<list />", list(&[])),
        ("<list></list>", list(&[])),
        ("<list>abc</list>", list(&[])),
        ("<list><!-- c --><![CDATA[ ]]></list>", list(&[])),
        (
            "<list><item><int>1</int></item> <item>x<int>2</int>y</item></list>",
            list(&[1, 2]),
        ),
        (
            "<list><item><int>1</int><int>x</int><str><b/></str></item></list>",
            list(&[1]),
        ),
        (
            "<list><x><int>1</int></x><item key=\"z\"><int>2</int></item><y/></list>",
            list(&[2]),
        ),
        ("<tuple><item><list /></item></tuple>", (list(&[]),).into()),
        (
            "<set><item><int>1</int></item></set>",
            Value::Set(vec![1.into()]),
        ),
        ("<tuple />", Value::Tuple(vec![])),
        ("<set />", Value::Set(vec![])),
        ("<dict />", Dict::new().into()),
    ]);
    for xml in [
        "<list><item /></list>",
        "<list><item>1</item></list>",
        "<dict><item /></dict>",
    ] {
        assert_eq!(read(xml), Err(DecodeErrorKind::EmptyItem), "{xml}");
    }
}

#[test]
fn the_last_of_equal_keys_counts_at_the_place_of_the_first() {
    let Ok(Value::Dict(dict)) = read(
        "<dict><item key=\"a\"><int>1</int></item><item key=\"b\"><int>2</int></item>\
         <item key=\"a\" x=\"y\"><int>3</int></item></dict>",
    ) else {
        panic!("not a dict");
    };
    let entries: Vec<_> = dict.into_iter().collect();
    assert_eq!(entries, [("a".into(), 3.into()), ("b".into(), 2.into())]);
    assert_eq!(
        read("<dict><item><int>1</int></item></dict>"),
        Err(DecodeErrorKind::MissingKey)
    );
}

#[test]
fn keys_are_attribute_values() {
    let key = |raw: &str| {
        let Ok(Value::Dict(dict)) =
            read(&format!("<dict><item key={raw}><int>1</int></item></dict>"))
        else {
            panic!("{raw}");
        };
        dict.keys().next().unwrap().to_string()
    };
    assert_eq!(key("\"a&#10;&#9;b&#13;c\""), "a\n\tb\rc");
    assert_eq!(key("\"a\tb\nc\r\nd\re\""), "a b c d e");
    assert_eq!(key("'\"'"), "\"");
    assert_eq!(
        key("\"a>'\u{1}\u{e9}&#233;&#65535;\""),
        "a>'\u{1}éé\u{ffff}"
    );
}

#[test]
fn the_members_of_a_set_are_pythons() {
    let item = |xml: &str| format!("<item>{xml}</item>");
    let set = |members: &[&str]| {
        let items: String = members.iter().map(|xml| item(xml)).collect();
        read(&format!("<set>{items}</set>"))
    };
    assert_eq!(
        set(&[
            "<int>1</int>",
            "<bool>True</bool>",
            "<int> 1 </int>",
            "<float>1.0</float>"
        ]),
        Ok(Value::Set(vec![1.into()]))
    );
    assert_eq!(
        set(&["<bool>False</bool>", "<bool>True</bool>"]),
        Ok(Value::Set(vec![false.into(), true.into()]))
    );
    // Objects are never equal in Python, whatever they look like.
    let Ok(Value::Set(objects)) = set(&["<Foo />", "<Foo />"]) else {
        panic!("not a set");
    };
    assert_eq!(objects.len(), 2);
    for (member, name) in [
        ("<list />", "list"),
        ("<dict />", "dict"),
        ("<set />", "set"),
        ("<tuple><item><list /></item></tuple>", "list"),
    ] {
        assert_eq!(
            set(&[member]),
            Err(DecodeErrorKind::Unhashable(name)),
            "{member}"
        );
    }
}

#[test]
fn an_unknown_element_keeps_what_is_in_it_and_behind_it() {
    let Ok(Value::Element(element)) =
        read("\n <foo>x<int>1</int></foo> t<!-- c -->ail&#33; <b/> no")
    else {
        panic!("not an element");
    };
    assert_eq!(element.as_xml(), "<foo>x<int>1</int></foo>");
    assert_eq!(element.tail(), " tail! ");
}

#[test]
fn a_message_has_a_type_a_sender_and_perhaps_a_dict() {
    assert_eq!(params(""), Ok(Value::None));
    assert_eq!(params(" text "), Ok(Value::None));
    assert_eq!(params("<dict />"), Ok(Dict::new().into()));
    assert_eq!(
        params("<dict><item key=\"a\"><int>1</int></item></dict> <dict />"),
        Ok(Dict::new().into()),
        "the last one counts"
    );
    for (xml, name) in [
        ("<list />", "list"),
        ("<dict /><foo />", "foo"),
        ("<Dict />", "Dict"),
    ] {
        assert_eq!(
            params(xml),
            Err(DecodeErrorKind::ParamsNotDict(name.into()))
        );
    }
}

#[test]
fn the_root_is_known_by_its_attributes() {
    let message = Message::from_bytes("<x src_sub_app='s' y='z' msg_type='dance' />").unwrap();
    assert_eq!(message.msg_type, MessageType::Other("dance".into()));
    assert_eq!(message.src_sub_app, "s");
    for (xml, name) in [
        ("<Message />", "msg_type"),
        ("<Message Msg_Type=\"end\" src_sub_app=\"s\" />", "msg_type"),
        ("<Message msg_type=\"end\" />", "src_sub_app"),
    ] {
        let error = Message::from_bytes(xml).unwrap_err();
        assert_eq!(error.kind, DecodeErrorKind::MissingAttribute(name));
    }
}

#[test]
fn names_in_a_namespace_are_none_of_pythons_types() {
    assert_eq!(
        params("<x:dict xmlns:x='urn:x' />"),
        Err(DecodeErrorKind::ParamsNotDict("x:dict".into()))
    );
    assert_stays_element("<int xmlns=\"urn:x\">1</int>");
    assert_reads([(
        "<list xmlns:z=\"urn:z\"><z:item><int>1</int></z:item><item><int>2</int></item></list>",
        Value::from([2]),
    )]);
    let message = "<Message xmlns='urn:x' msg_type='end' src_sub_app='s' />";
    assert!(Message::from_bytes(message).is_ok());
}

fn limited(xml: &str, limits: &Limits) -> Result<Value, DecodeErrorKind> {
    Message::decode(around(xml).into(), limits)
        .map(|message| message.param("k").cloned().unwrap_or_default())
        .map_err(|error| error.kind)
}

fn exceeded<T>(limit: Limit, actual: usize, allowed: usize) -> Result<T, DecodeErrorKind> {
    Err(DecodeErrorKind::Limit(LimitExceeded {
        limit,
        actual,
        allowed,
    }))
}

#[test]
fn every_limit_says_what_was_found_and_what_is_allowed() {
    let limits = Limits::default();
    // Message, dict, item and the element itself are four levels and four elements.
    let five = "<a><b /></a>";
    assert!(limited(five, &limits.clone().depth(5)).is_ok());
    assert_eq!(
        limited(five, &limits.clone().depth(4)),
        exceeded(Limit::Depth, 5, 4)
    );
    assert!(limited(five, &limits.clone().nodes(5)).is_ok());
    assert_eq!(
        limited(five, &limits.clone().nodes(4)),
        exceeded(Limit::Nodes, 5, 4)
    );
    let rewritten = "<a><b></b></a>";
    assert!(limited(rewritten, &limits.clone().nodes(5)).is_ok());

    let text = "<str>1234567&#33;</str>";
    assert!(limited(text, &limits.clone().text_bytes(8)).is_ok());
    assert_eq!(
        limited(text, &limits.clone().text_bytes(7)),
        exceeded(Limit::TextBytes, 8, 7)
    );
    let pieces = "<str>1234<!-- c -->5678</str>";
    assert!(limited(pieces, &limits.clone().text_bytes(8)).is_ok());
    assert_eq!(
        limited(pieces, &limits.clone().text_bytes(7)),
        exceeded(Limit::TextBytes, 8, 7)
    );
    let attribute = "<a b=\"12345678&#33;\" />";
    assert_eq!(
        limited(attribute, &limits.clone().text_bytes(8)),
        exceeded(Limit::TextBytes, 9, 8)
    );

    assert!(limited("<int>123</int>", &limits.clone().int_digits(3)).is_ok());
    assert_eq!(
        limited("<int>1234</int>", &limits.clone().int_digits(3)),
        exceeded(Limit::IntDigits, 4, 3)
    );
    let size = around(five).len();
    assert!(limited(five, &limits.clone().message_bytes(size)).is_ok());
    assert_eq!(
        limited(five, &limits.message_bytes(size - 1)),
        exceeded(Limit::MessageBytes, size, size - 1)
    );
}

#[test]
fn a_namespace_cannot_be_multiplied_without_end() {
    let uri = "u".repeat(10_000);
    let items = "<item><x:a /></item>".repeat(1_000);
    let xml = around(&format!("<list xmlns:x=\"{uri}\">{items}</list>"));
    let allowed = 8 * xml.len();
    match Message::from_bytes(xml).unwrap_err().kind {
        DecodeErrorKind::Limit(exceeded) => {
            assert_eq!(exceeded.limit, Limit::MessageBytes);
            assert_eq!(exceeded.allowed, allowed, "in proportion to the message");
        }
        other => panic!("{other}"),
    }
    let few = "<item><x:a /></item>".repeat(6);
    let xml = around(&format!("<list xmlns:x=\"{uri}\">{few}</list>"));
    assert!(Message::from_bytes(xml).is_ok());
}

#[test]
fn of_what_is_no_xml_that_is_said_first() {
    let kind = |xml: &str| Message::from_bytes(xml.to_owned()).unwrap_err().kind.name();
    assert_eq!(kind("<Message />"), "missing_attribute");
    assert_eq!(kind("<Message /><"), "syntax");
    assert_eq!(kind(&around("<int>x</int>")), "invalid_int");
    assert_eq!(kind(&around("<int>x</int>&nbsp;")), "undefined_entity");
    assert_eq!(kind(&around("<int>x</int><a></b>")), "syntax");
    let broken = [around("<int>x</int>").as_bytes(), b"\xff"].concat();
    assert_eq!(
        Message::from_bytes(broken).unwrap_err().kind.name(),
        "encoding"
    );
}

#[test]
fn errors_say_where() {
    let place = |xml: &str| {
        let error = Message::from_bytes(xml.to_owned()).unwrap_err();
        (
            error.position.offset,
            error.position.line,
            error.position.column,
        )
    };
    assert_eq!(place(&around("<int>x</int>")), (63, 1, 63));
    assert_eq!(
        place(&around("\n<é>é</é>\n <int>x</int>").replace("<é>é</é>", "é")),
        (68, 3, 1)
    );
    assert_eq!(place(&around("<list>\r\n<item /></list>")), (71, 2, 0));
    assert_eq!(place("<a msg_type='x'/>"), (0, 1, 0));
}
