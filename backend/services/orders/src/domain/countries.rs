//! ISO 3166-1 alpha-2.

const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI \
BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE \
DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS \
GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW \
KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW \
MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO \
RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM \
TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

/// Countries that do without postal codes.
const WITHOUT_POSTAL_CODES: &str = "AE AG AO AW BF BI BJ BS BW BZ CD CF CG CI CK CM DJ DM ER FJ GA \
GD GH GM GQ GY HK IE JM KI KM KN KP LC LY ML MO MR NR NU PA QA RW SB SC SL SO SR SS ST SY TD TG TK \
TL TO TT TV UG VU WS YE ZW";

fn holds(list: &str, code: &str) -> bool {
    list.split(' ').any(|known| known == code)
}

pub fn is_country(code: &str) -> bool {
    holds(COUNTRIES, code)
}

pub fn has_postal_codes(code: &str) -> bool {
    !holds(WITHOUT_POSTAL_CODES, code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete_and_exact() {
        assert_eq!(COUNTRIES.split(' ').count(), 249);
        for good in ["US", "GB", "DE", "AD", "ZW"] {
            assert!(is_country(good), "{good}");
        }
        for bad in ["", "U", "us", "UK", "USA", "D E", "XX"] {
            assert!(!is_country(bad), "{bad}");
        }
        assert!(WITHOUT_POSTAL_CODES.split(' ').all(is_country));
    }
}
