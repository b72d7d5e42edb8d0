//! Clusters of what was found alike.

/// A forest over numbers, in which the least number of each cluster stands for it.
#[derive(Debug)]
pub(crate) struct Clusters {
    parents: Vec<u64>,
}

impl Clusters {
    /// Every number below `count` alone.
    pub(crate) fn new(count: u64) -> Self {
        Self {
            parents: (0..count).collect(),
        }
    }

    /// The number that stands for the cluster of `one`.
    pub(crate) fn first(&mut self, one: u64) -> u64 {
        let mut root = one;
        while self.parents[root as usize] != root {
            root = self.parents[root as usize];
        }
        let mut next = one;
        while next != root {
            next = std::mem::replace(&mut self.parents[next as usize], root);
        }
        root
    }

    /// Makes the clusters of two numbers one. The result does not depend on the order of joining.
    pub(crate) fn join(&mut self, one: u64, other: u64) {
        let (one, other) = (self.first(one), self.first(other));
        self.parents[one.max(other) as usize] = one.min(other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_least_stands_for_all_whatever_the_order(
            mut edges in prop::collection::vec((0_u64..40, 0_u64..40), 0..60),
        ) {
            let firsts = |edges: &[(u64, u64)]| {
                let mut clusters = Clusters::new(40);
                for &(a, b) in edges {
                    clusters.join(a, b);
                }
                (0..40).map(|one| clusters.first(one)).collect::<Vec<_>>()
            };
            let forward = firsts(&edges);
            edges.reverse();
            prop_assert_eq!(&forward, &firsts(&edges));
            for &(a, b) in &edges {
                prop_assert_eq!(forward[a as usize], forward[b as usize]);
            }
            prop_assert!(forward.iter().enumerate().all(|(one, &first)| first <= one as u64));
        }
    }
}
