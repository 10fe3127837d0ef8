//! How many sandboxes wait for each repository. Pure.

/// What the pool may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolLimits {
    /// A repository with any recent demand has at least so many.
    pub floor: u32,
    /// No repository has more.
    pub ceiling: u32,
    /// All of them together use about so much memory at most, in bytes.
    pub memory_bytes: u64,
}

/// What one repository was asked for of late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Demand {
    /// Sandboxes taken within the last hour.
    pub taken: u32,
    /// The most that were taken within one minute of it.
    pub burst: u32,
    /// How long it takes to make one, in milliseconds.
    pub refill_ms: u64,
    /// What one uses while it waits, in bytes.
    pub each_bytes: u64,
}

/// The hour of [`Demand::taken`], in milliseconds.
const HOUR_MS: f64 = 3_600_000.0;

/// How many wait for each, in the order of `demands`: enough for a minute like the busiest one, and for what is taken while one is made
/// (with two standard deviations to spare), within the limits. Where memory is short, those with the most give first.
#[must_use]
pub fn sizes(demands: &[Demand], limits: &PoolLimits) -> Vec<u32> {
    let mut sizes: Vec<u32> = demands.iter().map(|demand| wanted(demand, limits)).collect();
    let bytes = |sizes: &[u32]| {
        let each = sizes.iter().zip(demands).map(|(size, demand)| u64::from(*size).saturating_mul(demand.each_bytes));
        each.fold(0, u64::saturating_add)
    };
    while bytes(&sizes) > limits.memory_bytes {
        // The one with the most; of several, the one that is asked for least; of these, the last.
        let most = (0..sizes.len()).max_by_key(|at| (sizes[*at], std::cmp::Reverse(demands[*at].taken), *at));
        match most {
            Some(at) if sizes[at] > 0 => sizes[at] -= 1,
            _ => break,
        }
    }
    sizes
}

fn wanted(demand: &Demand, limits: &PoolLimits) -> u32 {
    if demand.taken == 0 {
        return 0;
    }
    #[allow(clippy::cast_precision_loss, reason = "an estimate")]
    let during_refill = f64::from(demand.taken) * demand.refill_ms as f64 / HOUR_MS;
    let spared = (during_refill + 2.0 * during_refill.sqrt()).ceil().min(f64::from(limits.ceiling));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the ceiling")]
    let spared = spared as u32;
    spared.max(demand.burst).max(limits.floor).min(limits.ceiling)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn demands() -> impl Strategy<Value = Vec<Demand>> {
        let one = (0_u32..2000, 0_u32..200, 0_u64..600_000, 1_u64..1 << 32);
        let one = one.prop_map(|(taken, burst, refill_ms, each_bytes)| Demand {
            taken,
            burst: burst.min(taken),
            refill_ms,
            each_bytes,
        });
        prop::collection::vec(one, 0..12)
    }

    fn limits() -> impl Strategy<Value = PoolLimits> {
        (0_u32..5, 5_u32..40, 0_u64..1 << 36).prop_map(|(floor, ceiling, memory_bytes)| PoolLimits {
            floor,
            ceiling,
            memory_bytes,
        })
    }

    proptest! {
        #[test]
        fn limits_hold(demands in demands(), limits in limits()) {
            let sizes = sizes(&demands, &limits);
            prop_assert_eq!(sizes.len(), demands.len());
            let bytes: u64 = sizes.iter().zip(&demands).map(|(size, demand)| u64::from(*size) * demand.each_bytes).sum();
            prop_assert!(bytes <= limits.memory_bytes);
            for (size, demand) in sizes.iter().zip(&demands) {
                prop_assert!(*size <= limits.ceiling);
                prop_assert!(demand.taken > 0 || *size == 0, "nobody asked, nothing waits");
            }
        }

        #[test]
        fn with_enough_memory_the_floor_and_the_bursts_are_kept(demands in demands(), limits in limits()) {
            let plenty = PoolLimits { memory_bytes: u64::MAX, ..limits };
            for (size, demand) in sizes(&demands, &plenty).iter().zip(&demands).filter(|(_, demand)| demand.taken > 0) {
                prop_assert!(*size >= limits.floor.min(limits.ceiling));
                prop_assert!(*size >= demand.burst.min(limits.ceiling));
            }
        }

        #[test]
        fn more_demand_never_means_fewer(demand in demands(), more in 0_u32..100, limits in limits()) {
            let plenty = PoolLimits { memory_bytes: u64::MAX, ..limits };
            let busier: Vec<Demand> = demand.iter().map(|demand| Demand { taken: demand.taken + more, ..*demand }).collect();
            for (before, after) in sizes(&demand, &plenty).iter().zip(sizes(&busier, &plenty)) {
                prop_assert!(after >= *before);
            }
        }
    }

    #[test]
    fn examples() {
        let limits = PoolLimits { floor: 1, ceiling: 8, memory_bytes: 1000 };
        let demand = |taken, burst, refill_ms| Demand { taken, burst, refill_ms, each_bytes: 100 };
        assert_eq!(sizes(&[demand(0, 0, 1000)], &limits), [0]);
        assert_eq!(sizes(&[demand(1, 1, 1000)], &limits), [1]);
        assert_eq!(sizes(&[demand(20, 5, 1000)], &limits), [5], "as many as in the busiest minute");
        assert_eq!(sizes(&[demand(60, 1, 120_000)], &limits), [5], "two taken while one is made, and some to spare");
        assert_eq!(sizes(&[demand(600, 50, 1000)], &limits), [8], "the ceiling");
        assert_eq!(sizes(&[demand(100, 8, 1), demand(50, 8, 1)], &limits), [5, 5], "memory is shared");
    }
}
