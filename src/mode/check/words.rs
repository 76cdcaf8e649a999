//! The words of a page: what a proxy wrote for a browser, for who has none.

/// Characters of a page that are worth showing.
const MAX_WORDS: usize = 300;

/// Elements whose content is not for reading.
const SILENT: [&str; 3] = ["style", "script", "head"];

/// The first text of a page, or of plain text, on one line; `None` where there is none.
pub(super) fn plain(page: &[u8]) -> Option<String> {
    let page = String::from_utf8_lossy(page);
    let body = readable(&page);
    // A page may say all it has to say in its title.
    let text =
        if body.is_empty() { between(&page, "<title", "</title").map_or(body, readable) } else { body };
    (!text.is_empty()).then_some(text)
}

fn readable(page: &str) -> String {
    let mut text = String::new();
    let mut rest = page;
    while text.chars().count() < MAX_WORDS {
        let Some(open) = find_tag(rest) else {
            push(&mut text, rest);
            break;
        };
        push(&mut text, &rest[..open]);
        let tag = &rest[open..];
        rest = if let Some(comment) = tag.strip_prefix("<!--") {
            comment.split_once("-->").map_or("", |(_, behind)| behind)
        } else {
            let name = tag_name(tag);
            let behind = tag.split_once('>').map_or("", |(_, behind)| behind);
            match SILENT.iter().find(|silent| name.eq_ignore_ascii_case(silent)) {
                // A page that is cut has no end of it.
                Some(silent) => find_end(behind, silent).map_or("", |end| &behind[end..]),
                None => behind,
            }
        };
        // Of a page that is all tags nothing is kept.
        if !text.ends_with(' ') {
            text.push(' ');
        }
    }
    let mut words = entities(&text).split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = words.char_indices().nth(MAX_WORDS) {
        words.truncate(cut);
        words.push('…');
    }
    words
}

/// The words of a piece, in which line ends and indentation count as one blank.
fn push(text: &mut String, piece: &str) {
    let starts_apart = piece.starts_with(char::is_whitespace);
    for (place, word) in piece.split_whitespace().take(MAX_WORDS).enumerate() {
        if (place > 0 || starts_apart) && !text.ends_with(' ') {
            text.push(' ');
        }
        text.extend(word.chars().take(MAX_WORDS));
    }
    if piece.ends_with(char::is_whitespace) && !text.ends_with(' ') {
        text.push(' ');
    }
}

/// Where a tag begins; `5 < 6` is text.
fn find_tag(text: &str) -> Option<usize> {
    let is_tag = |c: char| c.is_ascii_alphabetic() || matches!(c, '/' | '!' | '?');
    text.match_indices('<').map(|(at, _)| at).find(|at| text[at + 1..].starts_with(is_tag))
}

/// The letters behind `<`.
fn tag_name(tag: &str) -> &str {
    let name = tag.strip_prefix('<').unwrap_or(tag);
    name.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default()
}

/// Where `</name` begins.
fn find_end(text: &str, name: &str) -> Option<usize> {
    text.match_indices("</").map(|(at, _)| at).find(|at| {
        let closing = text[at + 2..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        closing.eq_ignore_ascii_case(name)
    })
}

fn between<'a>(page: &'a str, open: &str, close: &str) -> Option<&'a str> {
    // ASCII case alone: the positions stay those of the page.
    let lower = page.to_ascii_lowercase();
    let start = lower.find(open)?;
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find(close)?;
    page.get(start..end)
}

/// The text with its entities decoded.
fn entities(text: &str) -> String {
    let (mut decoded, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, behind)) = rest.split_once('&') {
        decoded.push_str(before);
        let entity = behind.split_once(';').and_then(|(name, behind)| Some((character(name)?, behind)));
        let (character, behind) = entity.unwrap_or(('&', behind));
        decoded.push(character);
        rest = behind;
    }
    decoded.push_str(rest);
    decoded
}

/// The entities that error pages are made of. The two thousand others would cost every start the
/// relocation of their names.
fn character(entity: &str) -> Option<char> {
    match entity {
        "nbsp" => Some(' '),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "amp" => Some('&'),
        numeric => {
            let number = numeric.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16),
                None => number.parse(),
            };
            char::from_u32(code.ok()?)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_is_read_as_a_person_reads_it() {
        for (page, words) in [
            (
                "<html><head><title>ERROR</title><style>b{}</style></head><body><h1>Access\n denied</h1>by&nbsp;policy &lt;7&gt;</body>",
                "Access denied by policy <7>",
            ),
            ("<HTML><HEAD><TITLE>Only a title</TITLE></HEAD><BODY></BODY></HTML>", "Only a title"),
            ("<p>a<!-- not > this -->b<script>if (a<b) {}</script>c", "a b c"),
            ("plain words\r\n", "plain words"),
            ("5 < 6 & 7 &gt; <b>6</b>; a<=b, a & b; &unknown;", "5 < 6 & 7 > 6 ; a<=b, a & b; &unknown;"),
            ("Zugang f&#252;r G&#xe4;ste: &quot;nein&quot;", "Zugang f\u{fc}r G\u{e4}ste: \"nein\""),
            ("<style>never closed", ""),
            ("<unclosed", ""),
            ("", ""),
        ] {
            assert_eq!(plain(page.as_bytes()).unwrap_or_default(), words, "{page:?}");
        }
    }

    #[test]
    fn squids_page_says_what_is_wrong() {
        let page = b"<html><head><meta><title>ERROR: The requested URL could not be retrieved</title>\
            <style type=\"text/css\"><!-- body {} --></style></head><body id=ERR_ACCESS_DENIED>\
            <div id=\"titles\"><h1>ERROR</h1></div><p>Access Denied.</p>";
        assert_eq!(plain(page).as_deref(), Some("ERROR Access Denied."));
    }

    proptest! {
        #[test]
        fn whatever_comes_becomes_few_words(page in prop::collection::vec(any::<u8>(), 0..2000)) {
            let words = plain(&page).unwrap_or_default();
            prop_assert!(words.chars().count() <= MAX_WORDS + 1);
            prop_assert!(!words.contains('\n'));
        }

        #[test]
        fn tags_in_any_order_become_few_words(page in "(<|>|</|head|style|<!--|-->|title|a| |&amp;){0,60}") {
            plain(page.as_bytes());
        }
    }
}
