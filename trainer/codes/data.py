"""TR-D: the data that a spec names, and rows to predict or to measure."""

from __future__ import annotations

from typing import Final

from trainer.codes.entry import Entry

ENTRIES: Final = (
    Entry(
        "TR-D001",
        "there is no such file of data",
        "No file has this name, no file fits the pattern, or the folder holds none of the kind. "
        "Paths in a spec are relative to the spec's file.",
        "Check the path; near names are told.",
    ),
    Entry(
        "TR-D002",
        "the data cannot be read",
        "The path is a folder, a pipe or a device where a file is expected, or the system refuses "
        "to open it.",
        "Give the path of a file that you may read. What comes out of a pipe is written to a file "
        "first.",
    ),
    Entry(
        "TR-D003",
        "the file is of another kind",
        "What the file holds is not what the spec says it is, such as a workbook that is named as "
        "CSV. What it is instead is told.",
        "Name it with its kind.",
        "data:\n  source: {excel: flats.xlsx}",
    ),
    Entry(
        "TR-D004",
        "the file is damaged or not whole",
        "The file begins as one of its kind and cannot be read to the end.",
        "Fetch or write it again.",
    ),
    Entry(
        "TR-D005",
        "a packed file that is not as its name says",
        "A name that ends in .gz, .bz2, .xz or .zst says how the file is compressed; a zip archive "
        "holds one file.",
        "Name it by what it is, or unpack it and name the file that is meant.",
    ),
    Entry(
        "TR-D006",
        "a text in another encoding",
        "Texts are UTF-8 unless the source says something else. Guessing would change letters "
        "without a word.",
        "Say how the file is encoded.",
        "source: {csv: flats.csv, encoding: cp1252}",
    ),
    Entry(
        "TR-D007",
        "there are no rows",
        "The file is empty, has a header alone, or no row of it has all that it must have.",
        "Look whether it is the file that is meant, whether it was written to its end, and "
        "whether `data.drop_rows` names fewer columns.",
        "data:\n  drop_rows: {missing: target}",
    ),
    Entry(
        "TR-D008",
        "the names of the columns are not where they are expected",
        "The first line that counts is to name the columns. It is empty, a note, or looks like "
        "data, names stand between other signs, or a column has no name.",
        "Skip lines before it, say what stands between cells, or say that there is no header.",
        "source: {csv: flats.csv, header: false, names: [rooms, area, rent]}",
    ),
    Entry(
        "TR-D009",
        "two columns have one name",
        "A spec names columns, so names differ, and in more than what cannot be seen.",
        "Give each column its own name.",
    ),
    Entry(
        "TR-D010",
        "a row has another number of cells",
        "Each row has as many cells as there are columns. More or fewer mostly come of a delimiter "
        "or a decimal comma within a cell.",
        "Mend the line, put the cell in quotes, or say what stands between cells.",
        'source: {csv: flats.csv, delimiter: ";", decimal: ","}',
    ),
    Entry(
        "TR-D011",
        "a row that does not end where it should",
        "A cell in quotes ends with its closing mark before the next delimiter; one that is "
        "never closed takes the rest of the file with it. A line longer than any row that can "
        "be read is mostly no row of a table.",
        "Close the quotation mark, and write one within a quoted cell twice.",
        '"a 3"" pipe",12.5',
    ),
    Entry(
        "TR-D012",
        "a line is no JSON object of plain values",
        "In a file of JSON lines each line is one object, whose values are numbers, texts, true, "
        "false or null, each key once.",
        "Mend the line; write a column for each of several values.",
        '{"rooms": 3, "district": "north", "rent": 1070}',
    ),
    Entry(
        "TR-D013",
        "the workbook has no such sheet, or nothing in it",
        "The sheet that is asked for is not there, or none holds cells.",
        "Name a sheet, or say its number from 1.",
        "source: {excel: flats.xlsx, sheet: Prices}",
    ),
    Entry(
        "TR-D014",
        "a cell of a workbook holds no value",
        "The cell holds an error of its formula, a formula whose value was never stored, or a time "
        "of day or duration.",
        "Open the workbook in a spreadsheet program, mend the cell and save it; or leave the "
        "column out.",
    ),
    Entry(
        "TR-D015",
        "the file does not fit into memory",
        "Reading it whole needs more memory than there is.",
        "Let the rows stay on disk, or save the table as Parquet.",
        "data: {stream: true}",
    ),
    Entry(
        "TR-D016",
        "arrays that are no table",
        "Arrays are numbers or texts of one value a row, or two, `x` and `y`, with as many "
        "rows. Python objects are refused, since reading them could run code.",
        "Save plain arrays with the same number of rows; name a file of targets for each file "
        "of features.",
        "numpy.savez('flats.npz', x=x, y=y)",
    ),
    Entry(
        "TR-D017",
        "a file is named twice",
        "Its rows would count twice.",
        "Name it once.",
    ),
    Entry(
        "TR-D018",
        "a cell is not what its column holds",
        "Every cell of a column is a number, a date, true or false, or a category. This one cannot "
        "be read so: a text among numbers, a number beyond float64, another way to write dates.",
        "Mend the cell, say how numbers are written, say what else stands for an empty cell, or "
        "declare the column to hold categories.",
        "data:\n  columns:\n    rooms: {type: categorical}",
    ),
    Entry(
        "TR-D019",
        "an empty cell",
        "A value is missing and nothing says what stands for it. A median that nobody asked for "
        "would be a decision about the data that no one notices.",
        "Say what stands for it, fill it in, or leave the rows out.",
        "data:\n  missing: median\n  drop_rows: {missing: target}",
    ),
    Entry(
        "TR-D020",
        "a number too large for the dtype of the model",
        "A number of the spec or of the data is finite as float64 and not in the type that the "
        "model computes in; float32 ends at 3.4e38.",
        "Scale the column, write a smaller number, or compute in float64.",
        "model: {dtype: float64}",
    ),
    Entry(
        "TR-D021",
        "dates that can be read in two ways",
        "03/04/2024 is in March or in April, and no cell of the column tells; or several ways to "
        "write dates are mixed.",
        "Say the format, or write all dates in one way.",
        "data:\n  columns: {built: {format: day/month/year}}",
    ),
    Entry(
        "TR-D022",
        "a column that looks like identifiers",
        "Nearly every row has another text, so that each would be a category of its own, of which "
        "nothing can be learned.",
        "Leave the column out, or say that it holds categories.",
        "data:\n  features: {except: [customer_id]}",
    ),
    Entry(
        "TR-D023",
        "the data has no such column",
        "The spec names a column that the data do not have.",
        "Check the spelling; near names, or all of them, are told.",
    ),
    Entry(
        "TR-D024",
        "files with different columns",
        "The rows of several files are one table, so each file has the same columns.",
        "Choose the columns that all have, or mend the file that is told.",
        "data:\n  features: [rooms, area]",
    ),
    Entry(
        "TR-D025",
        "there is nothing to predict from",
        "Beside the target and the columns that are left out no column remains.",
        "Leave fewer columns out.",
    ),
    Entry(
        "TR-D026",
        "something is declared of a column that is no feature",
        "Columns that are targets, weights, groups or left out are not encoded, so what the spec "
        "says of the encoding would decide nothing.",
        "Leave it out, or make the column a feature too.",
        "data:\n  features: {also: [year]}",
    ),
    Entry(
        "TR-D027",
        "the target does not fit the loss",
        "`logistic` needs labels of at least two classes, and these are no real numbers; "
        "several labels are 0 or 1 each; other losses need finite numbers.",
        "Use `loss: squared` for numbers, or look whether the target is the column that is meant.",
        "model: {loss: squared}",
    ),
    Entry(
        "TR-D028",
        "a class that is not there",
        "A row to measure has a class of which the training rows had none, or `class_weights` "
        "names a class that no row has.",
        "Check the spelling; the classes are told.",
        "model:\n  class_weights: {benign: 1.0, malignant: 3.0}",
    ),
    Entry(
        "TR-D029",
        "what is declared does not fit the column",
        "The column turned out to be of another kind than what the spec says of it, such as a "
        "scale for categories.",
        "Leave it out, or declare the type of the column.",
        "data:\n  columns: {rooms: {type: categorical}}",
    ),
    Entry(
        "TR-D030",
        "a column that cannot be scaled so",
        "Its mean, deviation or range is beyond float64, or log1p meets a number of -1 or less.",
        "Rescale the column, or take another scale for it.",
        "data:\n  columns: {balance: {scale: standard}}",
    ),
    Entry(
        "TR-D031",
        "the split leaves a part without rows",
        "Training, validation, test, a fold or a class gets no row: the fractions take all of "
        "them, or there are too few rows or groups.",
        "Use more rows, other fractions or fewer folds.",
        "data:\n  split: {validation: 0.2, test: 0.2}",
    ),
    Entry(
        "TR-D032",
        "rows cannot be ordered by time",
        "A split by time needs a number or a date in every row.",
        "Fill it in, write dates as 2024-12-31, or split by chance.",
    ),
    Entry(
        "TR-D033",
        "weights that are no weights",
        "Weights of rows and classes are finite numbers of 0 or more, and not all 0.",
        "Mend the row or the class that is told.",
        "model:\n  class_weights: {yes: 2.0, no: 1.0}",
    ),
    Entry(
        "TR-D034",
        "a batch is larger than the training rows",
        "A step takes `batch_size` different rows, and there are not so many.",
        "Take a smaller batch, or all rows.",
        "sgd: {batch_size: full}",
    ),
    Entry(
        "TR-D035",
        "too many columns for the memory",
        "All rows with all their columns need more memory than the machine has; mostly one feature "
        "has very many categories.",
        "Embed it, group its rare categories, or leave it out.",
        "data:\n  columns: {city: {max_categories: 50}}",
    ),
    Entry(
        "TR-D036",
        "a file changed while it was read",
        "Rows that stay on disk are read several times, and the file is another one now.",
        "Train when nothing writes to it any more.",
    ),
    Entry(
        "TR-D037",
        "rows lack what the model needs",
        "A model predicts from the columns that it was trained on, and each holds what it held "
        "then: numbers, dates or categories.",
        "Add the column under the name that is told, or write it as it was in training.",
    ),
    Entry(
        "TR-D038",
        "the data are not those of the run any more",
        "Their SHA-256 is another one than the run has recorded: a file was changed or replaced. "
        "Nothing that is computed from them would be comparable.",
        "Bring back the file as it was, or name rows with --data where the command takes it.",
    ),
    Entry(
        "TR-D039",
        "a type of column that is not read",
        "The column holds lists, structures or bytes. A column holds numbers, texts, dates, or "
        "true and false.",
        "Leave the column out, or write its parts as columns of their own.",
        "data:\n  features: {except: [raw]}",
    ),
    Entry(
        "TR-D040",
        "the rows cannot tell good from bad",
        "The validation rows are one row, weigh nothing, or have the same target throughout, so "
        "the metric that is watched says nothing.",
        "Use a larger split, or watch the loss.",
        "sgd:\n  early_stopping: {monitor: loss}",
    ),
    Entry(
        "TR-D041",
        "batches of one row with batch_norm",
        "Batch normalisation subtracts the mean of the batch; of one row nothing is left.",
        "Use more rows a batch, or `layer_norm`.",
    ),
)
"""The entries, in the order of their codes."""
