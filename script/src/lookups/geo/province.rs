//! The provinces of China: what maps of the country are keyed by.

/// Codes and names of ISO 3166-2:CN.
const PROVINCES: [(&str, &str); 34] = [
    ("CN-AH", "Anhui"),
    ("CN-BJ", "Beijing"),
    ("CN-CQ", "Chongqing"),
    ("CN-FJ", "Fujian"),
    ("CN-GD", "Guangdong"),
    ("CN-GS", "Gansu"),
    ("CN-GX", "Guangxi"),
    ("CN-GZ", "Guizhou"),
    ("CN-HA", "Henan"),
    ("CN-HB", "Hubei"),
    ("CN-HE", "Hebei"),
    ("CN-HI", "Hainan"),
    ("CN-HK", "Hong Kong"),
    ("CN-HL", "Heilongjiang"),
    ("CN-HN", "Hunan"),
    ("CN-JL", "Jilin"),
    ("CN-JS", "Jiangsu"),
    ("CN-JX", "Jiangxi"),
    ("CN-LN", "Liaoning"),
    ("CN-MO", "Macao"),
    ("CN-NM", "Inner Mongolia"),
    ("CN-NX", "Ningxia"),
    ("CN-QH", "Qinghai"),
    ("CN-SC", "Sichuan"),
    ("CN-SD", "Shandong"),
    ("CN-SH", "Shanghai"),
    ("CN-SN", "Shaanxi"),
    ("CN-SX", "Shanxi"),
    ("CN-TJ", "Tianjin"),
    ("CN-TW", "Taiwan"),
    ("CN-XJ", "Xinjiang"),
    ("CN-XZ", "Tibet"),
    ("CN-YN", "Yunnan"),
    ("CN-ZJ", "Zhejiang"),
];

/// Other names that databases give, without the words at their end.
const OTHER_NAMES: [(&str, &str); 5] = [
    ("Nei Mongol", "CN-NM"),
    ("Nei Mongggol", "CN-NM"),
    ("Xizang", "CN-XZ"),
    ("Macau", "CN-MO"),
    ("Peking", "CN-BJ"),
];

/// The code and the name of a province of China, which a database calls `name`. Hong Kong, Macao and Taiwan have
/// codes of countries, too, and databases know only those.
pub(super) fn chinese_province(country: &str, name: &str) -> Option<(&'static str, &'static str)> {
    match country {
        "CN" => by_name(name),
        "HK" => by_code("CN-HK"),
        "MO" => by_code("CN-MO"),
        "TW" => by_code("CN-TW"),
        _ => None,
    }
}

fn by_code(code: &str) -> Option<(&'static str, &'static str)> {
    PROVINCES.into_iter().find(|(own, _)| *own == code)
}

fn by_name(name: &str) -> Option<(&'static str, &'static str)> {
    // `Shandong Sheng`, `Guangxi Zhuangzu Zizhiqu`, `Ningxia Hui Autonomous Region`.
    let begins = |own: &str| {
        let rest = name
            .get(..own.len())
            .filter(|begin| begin.eq_ignore_ascii_case(own));
        rest.is_some() && matches!(name.as_bytes().get(own.len()), None | Some(b' ' | b'-'))
    };
    let known = PROVINCES.into_iter().find(|(_, own)| begins(own));
    known.or_else(|| {
        let (_, code) = OTHER_NAMES.into_iter().find(|(own, _)| begins(own))?;
        by_code(code)
    })
}
