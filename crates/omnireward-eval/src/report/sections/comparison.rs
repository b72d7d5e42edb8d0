use super::legend;
use crate::{
    compare::{Gap, SettingComparison},
    report::{
        ReportInput,
        page::{Block, Cell, Column, Content, FULL, Figure, Section, Table, TableRow},
        plot::{DotPlot, DotSeries, Estimate, Mark, Unit, dots},
        words,
    },
};

/// How runs differ, with what the data can resolve beside each gap. Empty for a single run.
pub(in crate::report) fn comparison(input: &ReportInput<'_>) -> Section {
    let settings = input
        .comparison
        .map_or(&[][..], |comparison| &comparison.settings);
    let rows = settings
        .iter()
        .flat_map(|setting| {
            [figure(setting), Some(overall(setting)), by_task(setting)]
                .into_iter()
                .flatten()
                .map(|block| vec![block])
        })
        .collect();
    Section {
        id: "comparison",
        title: "Comparison",
        lead: "Differences in accuracy on the verdicts that both runs have, in percentage points. A gap smaller than what the data resolve says little either way.".into(),
        rows,
        ..Section::default()
    }
}

/// With so many pairs of runs, a figure shows one row for each instead of one for each task.
const CROWDED: usize = 4;

fn figure(setting: &SettingComparison) -> Option<Block> {
    let crowded = setting.overall.len() >= CROWDED;
    let plot = if crowded {
        plot_by_runs(setting)
    } else {
        plot_by_task(setting)
    };
    let names = plot
        .series
        .iter()
        .map(|series| (series.name.clone(), series.mark));
    let legend = if crowded { Vec::new() } else { legend(names) };
    let figure = Figure::new(legend, FULL, |width| dots(&plot, width));
    (!figure.wide.is_empty()).then(|| Block {
        title: format!("Gaps {}", words::setting(setting.setting)),
        text: "To the right the first run is better. Whiskers are intervals from resampling groups with both runs' verdicts on them.".into(),
        content: Content::Figure { figure },
    })
}

fn plot_by_task(setting: &SettingComparison) -> DotPlot {
    let series = setting
        .overall
        .iter()
        .map(|mean| DotSeries {
            name: pair_name(mean),
            mark: Mark::Solid,
            points: setting
                .tasks
                .iter()
                .map(|task| {
                    let of_task = |gap: &&Gap| {
                        gap.task == Some(*task)
                            && gap.first == mean.first
                            && gap.second == mean.second
                    };
                    setting.by_task.iter().find(of_task).and_then(point)
                })
                .chain([point(mean)])
                .collect(),
        })
        .collect();
    DotPlot {
        label: "gaps by task".into(),
        rows: setting
            .tasks
            .iter()
            .map(|t| t.code().to_owned())
            .chain(["mean".to_owned()])
            .collect(),
        series,
        references: vec![(0.0, "equal".into())],
        unit: Unit::Points,
    }
}

fn plot_by_runs(setting: &SettingComparison) -> DotPlot {
    DotPlot {
        label: "gaps over the common tasks".into(),
        rows: setting.overall.iter().map(pair_name).collect(),
        series: vec![DotSeries {
            name: "gap".into(),
            mark: Mark::Solid,
            points: setting.overall.iter().map(point).collect(),
        }],
        references: vec![(0.0, "equal".into())],
        unit: Unit::Points,
    }
}

fn pair_name(gap: &Gap) -> String {
    format!("{} − {}", gap.first, gap.second)
}

fn point(gap: &Gap) -> Option<Estimate> {
    Estimate::new(
        gap.gap,
        gap.interval.map(|interval| (interval.low, interval.high)),
    )
}

fn overall(setting: &SettingComparison) -> Block {
    Block {
        title: format!("Over the common tasks, {}", words::setting(setting.setting)),
        text: "The test is McNemar's, exact: by group where several pairs share one. The adjusted p is Holm's over all rows of the table. Resolves is the smallest gap that so many pairs would show four times in five.".into(),
        content: Content::Table { table: table(&setting.overall, false) },
    }
}

fn by_task(setting: &SettingComparison) -> Option<Block> {
    (!setting.by_task.is_empty()).then(|| Block {
        title: format!("By task, {}", words::setting(setting.setting)),
        text: String::new(),
        content: Content::Folded {
            summary: format!(
                "show {}",
                words::counted(setting.by_task.len() as u64, "row")
            ),
            table: table(&setting.by_task, true),
        },
    })
}

fn table(gaps: &[Gap], with_task: bool) -> Table {
    let mut columns = Vec::new();
    if with_task {
        columns.push(Column::words("task"));
    }
    columns.extend(["first", "second"].map(Column::words));
    columns.extend(
        [
            "gap",
            "resolves",
            "only 1st right",
            "only 2nd",
            "p",
            "adjusted p",
            "pairs",
        ]
        .map(Column::number),
    );
    columns.push(Column::words(""));
    Table {
        columns,
        rows: gaps.iter().map(|gap| row(gap, with_task)).collect(),
        sortable: true,
        ..Table::default()
    }
}

fn row(gap: &Gap, with_task: bool) -> TableRow {
    let run = |name: &String, accuracy: f64| {
        Cell::name(name.clone()).with_note_below(words::percent_sign(Some(accuracy)))
    };
    let test = gap.by_group;
    let mut cells = Vec::new();
    if with_task {
        cells.push(Cell::name(gap.task.map_or("mean", |task| task.code())));
    }
    let interval = gap.interval.map_or(String::new(), |interval| {
        format!(
            "{} to {}",
            words::points(Some(interval.low)),
            words::points(Some(interval.high))
        )
    });
    cells.extend([
        run(&gap.first, gap.accuracy[0]),
        run(&gap.second, gap.accuracy[1]),
        Cell::number(words::points(Some(gap.gap)), Some(gap.gap)).with_note(interval),
        Cell::percent(gap.minimal_detectable_gap),
        Cell::count(test.test.first_only),
        Cell::count(test.test.second_only),
        Cell::number(words::p_value(Some(test.test.p)), Some(test.test.p)),
        Cell::number(words::p_value(Some(test.holm)), Some(test.holm)),
        Cell::count(gap.pairs),
        Cell::words(conclusion(gap)),
    ]);
    TableRow { class: "", cells }
}

/// What a gap says, in words.
pub(in crate::report) fn conclusion(gap: &Gap) -> &'static str {
    const LEVEL: f64 = 0.05;
    match gap.by_group.holm < LEVEL {
        true if gap.gap > 0.0 => "first is better",
        true => "second is better",
        false => "not resolved",
    }
}
