"""Messages as other writers might send them: XML that pymasep takes or refuses, though it never writes it.

Each case is (name, bytes, deviation). The deviation is None, or the name under which PROTOCOL.md lists
what masep does otherwise on purpose.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator

Case = tuple[str, bytes, str | None]


def _message(params: str, attributes: str = 'msg_type="action" src_sub_app="1"') -> bytes:
    return f"<Message {attributes}>{params}</Message>".encode()


def _parameter(value: str) -> bytes:
    return _message(f'<dict><item key="k">{value}</item></dict>')


def documents() -> Iterator[Case]:
    """Text around and between the elements."""
    end = '<Message msg_type="end" src_sub_app="x" />'
    for name, text in {
        "bare": end,
        "long form": '<Message msg_type="end" src_sub_app="x"></Message>',
        "single quotes": "<Message msg_type='end' src_sub_app='x'/>",
        "white space": '\n <Message\n\tmsg_type = "end"\r\n src_sub_app= "x" \n/>\n\t ',
        "swapped": '<Message src_sub_app="x" msg_type="end"/>',
        "more attributes": '<Message a="1" msg_type="end" b="" src_sub_app="x" c="&#10;"/>',
        "another root": '<Anything msg_type="end" src_sub_app="x"/>',
        "unknown type": '<Message msg_type="no such" src_sub_app=""/>',
        "declaration": '<?xml version="1.0"?>' + end,
        "declaration utf-8": '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n' + end,
        "declaration ascii": '<?xml version="1.0" encoding="us-ascii"?>' + end,
        "comments": "<!-- before -->" + end + "<!-- after --><!---->",
        "instructions": "<?go now?>" + end + "<?stop?>",
        "text in message": '<Message msg_type="end" src_sub_app="x">text</Message>',
        "attribute white space": '<Message msg_type="end" src_sub_app="a\n\t\r\nb"/>',
        "attribute references": '<Message msg_type="end" src_sub_app="&lt;&amp;&gt;&quot;&apos;&#233;&#x1F3ee;&#10;&#13;"/>',
        "raw non-ascii": '<Message msg_type="end" src_sub_app="é漢🏮"/>',
        # not well formed
        "empty": "",
        "only space": " \n",
        "only comment": "<!-- -->",
        "text": "hello",
        "unclosed": "<Message ",
        "cut": end[:-3],
        "two roots": end + end,
        "text after": end + "x",
        "space first": ' <?xml version="1.0"?>' + end,
        "wrong end": '<Message msg_type="end" src_sub_app="x"></message>',
        "no quotes": "<Message msg_type=end src_sub_app=x/>",
        "twice the attribute": '<Message msg_type="end" msg_type="end" src_sub_app="x"/>',
        "less in attribute": '<Message msg_type="end" src_sub_app="<"/>',
        "bare ampersand": '<Message msg_type="end" src_sub_app="a&b"/>',
        "unknown entity": '<Message msg_type="end" src_sub_app="&nbsp;"/>',
        "double hyphen": end + "<!-- a -- b -->",
        "instruction xml": end + "<?xml?>",
        "no space between": '<Message msg_type="end"src_sub_app="x"/>',
        "reference to nul": end.replace('"x"', '"&#0;"'),
        "reference to control": end.replace('"x"', '"&#1;"'),
        "reference to surrogate": end.replace('"x"', '"&#xD800;"'),
        "reference too large": end.replace('"x"', '"&#x110000;"'),
        "end of cdata in text": '<Message msg_type="end" src_sub_app="x">]]></Message>',
        "digit first": '<1Message msg_type="end" src_sub_app="x"/>',
        "version": '<?xml version="7"?>' + end,
        "prefix unbound": '<m:Message msg_type="end" src_sub_app="x"/>',
        "prefix bound": '<m:Message xmlns:m="urn:m" msg_type="end" src_sub_app="x"/>',
        "namespace": '<Message xmlns="urn:m" msg_type="end" src_sub_app="x"/>',
        "prefixed attribute": '<Message xmlns:m="urn:m" m:msg_type="end" src_sub_app="x"/>',
        # well formed, but no message
        "no type": '<Message src_sub_app="x"/>',
        "no sender": '<Message msg_type="end"/>',
        "child not dict": '<Message msg_type="end" src_sub_app="x"><list/></Message>',
        "child unknown": '<Message msg_type="end" src_sub_app="x"><State/></Message>',
    }.items():
        yield name, text.encode(), None
    for name, sender in {"nul": "\0", "control": "\x01"}.items():
        yield name, end.replace("x", sender).encode(), "text is kept"
    yield "reference to fffe", end.replace("x", "&#xFFFE;").encode(), "no character is refused"
    doctype = '<!DOCTYPE Message [<!ENTITY e "entity"><!ENTITY f "&e;&e;">]>'
    yield "doctype", b"<!DOCTYPE Message>" + end.encode(), "no DOCTYPE"
    yield "entity", (doctype + end.replace('"x"', '"&e;"')).encode(), "no DOCTYPE"
    yield "entity in entity", (doctype + end.replace('"x"', '"&f;"')).encode(), "no DOCTYPE"
    yield (
        "entity file",
        b'<!DOCTYPE m [<!ENTITY e SYSTEM "file:///etc/hostname">]>' + _parameter("<str>&e;</str>"),
        None,
    )
    text = end.replace('"x"', '"é"')
    yield "utf-8 mark", codecs.BOM_UTF8 + text.encode(), None
    yield "utf-16", text.encode("utf-16"), None
    yield "latin-1", b'<?xml version="1.0" encoding="iso-8859-1"?>' + text.encode("latin-1"), None
    yield "latin-1 undeclared", text.encode("latin-1"), None
    yield (
        "koi8-r",
        b'<?xml version="1.0" encoding="koi8-r"?>' + text.encode("koi8-r", "replace"),
        "few encodings",
    )
    yield "utf8", b'<?xml version="1.0" encoding="utf8"?>' + text.encode(), "few encodings"
    yield (
        "windows-1252",
        b'<?xml version="1.0" encoding="windows-1252"?>' + text.encode("cp1252"),
        None,
    )
    yield "utf-16 big", codecs.BOM_UTF16_BE + text.encode("utf-16-be"), None
    yield "unknown encoding", b'<?xml version="1.0" encoding="klingon"?>' + text.encode(), None
    yield "overlong utf-8", end.replace("x", "?").encode().replace(b"?", b"\xc0\xaf"), None
    yield "surrogate in utf-8", end.replace("x", "?").encode().replace(b"?", b"\xed\xa0\x80"), None
    yield "cut utf-8", end.replace("x", "?").encode().replace(b"?", b"\xe6\xbc"), None


def structure() -> Iterator[Case]:
    """Parameters whose elements stand otherwise than pymasep writes them."""
    for name, params in {
        "dict": "<dict/>",
        "dict with space": "<dict> \n </dict>",
        "two dicts": '<dict><item key="a"><int>1</int></item></dict><dict/>',
        "three dicts": "<dict/>" * 2 + '<dict><item key="b"><int>1</int></item></dict>',
        "comment between": '<!-- a --><dict><!-- b --><item key="a"><!-- c --><int>1</int></item></dict>',
        "pretty": '\n <dict>\n  <item key="a">\n   <list>\n    <item>\n     <int>1</int>\n    </item>\n   </list>\n  </item>\n </dict>\n',
        "doubled key": '<dict><item key="a"><int>1</int></item><item key="b"><int>2</int></item><item key="a"><int>3</int></item></dict>',
        "other tags": '<dict><thing key="a"><int>1</int></thing><item key="b"><int>2</int></item></dict>',
        "item without key": "<dict><item><int>1</int></item></dict>",
        "item without value": '<dict><item key="a"/></dict>',
        "item with text": '<dict><item key="a">text<int>1</int></item></dict>',
        "item with two": '<dict><item key="a"><int>1</int><int>2</int></item></dict>',
        "more attributes": '<dict a="b"><item c="d" key="a" e="f"><int g="h">1</int></item></dict>',
        "text in dict": '<dict>text<item key="a"><int>1</int></item>more</dict>',
        "key references": '<dict><item key="&#10;&lt;&#233;"><int>1</int></item></dict>',
        "empty key": '<dict><item key=""><int>1</int></item></dict>',
    }.items():
        yield name, _message(params), None
    for tag in ("list", "tuple", "set"):
        for name, inner in {
            "long empty": "",
            "space": " ",
            "text": "text",
            "other tag": "<thing><int>1</int></thing>",
            "item empty": "<item/>",
            "item text": "<item>5</item>",
            "item two": "<item><int>1</int><int>2</int></item>",
            "spaced": " <item> <int>1</int> </item> <item><int>2</int></item> ",
            "with key": '<item key="x"><int>1</int></item>',
            "bare value": "<int>1</int>",
        }.items():
            yield f"{tag}/{name}", _parameter(f"<{tag}>{inner}</{tag}>"), None
    yield "set/doubled", _parameter("<set>" + "<item><int>1</int></item>" * 2 + "</set>"), None
    yield "set/unhashable", _parameter("<set><item><list/></item></set>"), None


def scalars() -> Iterator[Case]:
    """Texts of ints, bools, strings and classes that pymasep would not write."""
    for text in [
        "5",
        " 5 ",
        "\n-5\t",
        "+5",
        "- 5",
        "1_000",
        "1__0",
        "_1",
        "1_",
        "007",
        "-0",
        "٣٤",
        "５",
        "0x10",
        "1e3",
        "5.0",
        "five",
        "1 2",
        "9" * 4300,
        "&#53;",
        "5<!-- -->6",
        "<![CDATA[5]]>",
        "\u00a05",
        "²",
    ]:
        yield f"int/{text[:20]}", _parameter(f"<int>{text}</int>"), None
    for tag in ("int", "bool", "str", "type"):
        yield f"{tag}/self-closed", _parameter(f"<{tag}/>"), None
        yield f"{tag}/closed", _parameter(f"<{tag}></{tag}>"), None
        yield f"{tag}/only a comment", _parameter(f"<{tag}><!-- --></{tag}>"), None
        yield f"{tag}/content empty", _parameter(f'<{tag} content="empty"/>'), None
        yield f"{tag}/child", _parameter(f"<{tag}><x/></{tag}>"), None
        yield f"{tag}/text and child", _parameter(f"<{tag}>1<x/>2</{tag}>"), None
    for text in ["True", "true", "1", "0", "no", " False", "false"]:
        yield f"bool/{text}", _parameter(f"<bool>{text}</bool>"), None
    yield "bool/False", _parameter("<bool>False</bool>"), "False stays false"
    for name, text in {
        "space": "  ",
        "cdata": "<![CDATA[<a> & ]]]]><![CDATA[>]]>",
        "references": "&lt;&#x41;&#233;&apos;",
        "mixed": "a<!-- -->b<![CDATA[c]]>d<?e?>",
        "return": "&#13;",
        "not empty": "x",
        "astral": "&#128512;\U0001f600",
    }.items():
        yield f"str/{name}", _parameter(f"<str>{text}</str>"), None
    yield "str/lines", _parameter("<str>a\r\nb\rc\nd</str>"), "text is kept"
    yield "str/content other", _parameter('<str content="full"/>'), None
    yield "str/content and text", _parameter('<str content="empty">x</str>'), None
    yield (
        "str/class",
        _parameter("<str>&lt;class 'collections.OrderedDict'&gt;</str>"),
        "a class in a string is text",
    )
    yield (
        "str/class missing",
        _parameter("<str>&lt;class 'no.such'&gt;</str>"),
        "a class in a string is text",
    )
    yield (
        "int/class",
        _parameter("<int>&lt;class 'collections.OrderedDict'&gt;</int>"),
        "a class in a number is an error",
    )
    yield (
        "bool/class",
        _parameter("<bool>&lt;class 'no.such'&gt;</bool>"),
        "a class in a number is an error",
    )
    yield "str/classroom", _parameter("<str>&lt;classroom&gt;</str>"), "a class in a string is text"
    yield "str/control", _parameter("<str>a\0b\x1b[1m</str>"), "text is kept"
    yield "str/fffe", _parameter("<str>&#65534;&#xFFFF;</str>"), "no character is refused"
    yield "str/cdata lines", _parameter("<str><![CDATA[a\r\nb\rc]]></str>"), None
    yield "str/cdata control", _parameter("<str><![CDATA[\x01]]></str>"), None
    yield "type/known", _parameter("<type>&lt;class 'collections.OrderedDict'&gt;</type>"), None
    yield (
        "type/unknown",
        _parameter("<type>&lt;class 'no_such_module.Thing'&gt;</type>"),
        "a class is a name",
    )
    yield "type/builtin", _parameter("<type>&lt;class 'int'&gt;</type>"), "a class is a name"


def lossless() -> Iterator[Case]:
    """Values that pymasep keeps as elements: masep reads only the text that pymasep writes, and keeps the rest."""
    for text in [
        "<float>1.5</float>",
        "<float>-0.0</float>",
        "<float>1e+16</float>",
        "<float>nan</float>",
        "<float>-inf</float>",
        "<NoneType>None</NoneType>",
        "<bytes>b''</bytes>",
        "<bytes>b'a\\x00'</bytes>",
        '<bytes>b"it\'s"</bytes>',
    ]:
        yield text, _parameter(text), "floats, None and bytes"
    for text in [
        "<float>1.50</float>",
        "<float>1e16</float>",
        "<float>1</float>",
        "<float> 1.5</float>",
        "<float/>",
        "<float>1,5</float>",
        "<float>+1.5</float>",
        "<float>Infinity</float>",
        '<float a="b">1.5</float>',
        "<float>1.5<x/></float>",
        "<NoneType/>",
        "<NoneType>none</NoneType>",
        "<NoneType>None </NoneType>",
        '<NoneType a="">None</NoneType>',
        "<bytes/>",
        "<bytes>a</bytes>",
        '<bytes>b"a"</bytes>',
        "<bytes>b'\\x41'</bytes>",
        "<bytes>b'\\q'</bytes>",
        "<bytes>b'é'</bytes>",
        "<bytes>b'a' b'b'</bytes>",
    ]:
        yield text, _parameter(text), None


def unknown() -> Iterator[Case]:
    """Elements that pymasep keeps as they are."""
    for name, text in {
        "state": '<State name="State" state="run" is_final="False" env_step="0"/>',
        "nested": "<a><b c='d'>e</b>f<g/>h</a>",
        "cdata": "<a><![CDATA[<&>]]></a>",
        "non-ascii tag": "<Ünï é='ü'/>",
        "references": '<a b="&#9;&#233;">&#233;&lt;</a>',
        "comment": "<a>b<!-- c -->d</a>",
        "space": "<a> <b/> </a>",
        "lines": "<a>b\r\nc</a>",
        "quotes": "<a b='\"' c=\"'\"/>",
        "like a value": "<Int>5</Int>",
        "known inside": "<a><int>x</int></a>",
        "dotted": "<a.b-c_d/>",
    }.items():
        yield name, _parameter(text), None


SUBJECTS = {f.__name__: f for f in (documents, structure, scalars, lossless, unknown)}
