//! Names that may have been meant by one that does not exist.

/// More would be no hint.
const MOST: usize = 3;

/// The nearest of `names`, best first: by the number of typing errors, or by a word that they share.
pub(super) fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let name = name.to_lowercase();
    let mut near: Vec<(usize, &str)> = names
        .filter_map(|other| {
            let errors = errors(&name, &other.to_lowercase());
            // A third of the letters may be wrong; one of a short name.
            let few = errors <= (name.chars().count().max(other.chars().count()) / 3).max(1);
            let shares = shares_a_word(&name, other) || starts_alike(&name, other);
            (few || shares).then_some((if few { errors } else { errors + 100 }, other))
        })
        .collect();
    near.sort_by_key(|(errors, _)| *errors);
    // Beside a near miss, what only shares a word is noise.
    let only_errors = near.first().is_some_and(|(errors, _)| *errors < 100);
    near.retain(|(errors, _)| !only_errors || *errors < 100);
    near.iter()
        .take(MOST)
        .map(|(_, other)| (*other).to_owned())
        .collect()
}

fn shares_a_word(name: &str, other: &str) -> bool {
    let mut words = name.split(['-', '_', ' ']).filter(|word| word.len() > 2);
    words.any(|word| other.split('-').any(|part| part == word))
}

fn starts_alike(name: &str, other: &str) -> bool {
    let shorter = name.len().min(other.len());
    shorter >= 3
        && name
            .bytes()
            .zip(other.bytes())
            .take_while(|(a, b)| a == b)
            .count()
            >= shorter.min(5)
}

/// Letters that are wrong, missing, too many, or swapped with their neighbour (optimal string alignment distance).
fn errors(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let replaced = rows[i][j] + usize::from(a != b);
            let mut least = replaced.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && one[i - 1] == *b && other[j - 1] == *a {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_and_shared_words_are_near() {
        let names = [
            "node-down",
            "dns-down",
            "dns-endpoint-down",
            "random-loss",
            "slow",
        ];
        let near = |name| nearest(name, names.into_iter());
        assert_eq!(near("node-dwon"), ["node-down"]);
        assert_eq!(near("slwo"), ["slow"]);
        assert_eq!(near("loss"), ["random-loss", "slow"].map(str::to_owned)[..1]);
        assert_eq!(near("dns"), ["dns-down", "dns-endpoint-down"]);
        assert_eq!(near("zebra"), Vec::<String>::new());
    }
}
