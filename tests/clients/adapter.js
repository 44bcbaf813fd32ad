// Decodes a segmentation as viewers built on cornerstone do: the adapter of dcmjs lays it over the source images.
//
//     node adapter.js NODE_MODULES SEG SOURCE...      (sources in order of position)
//
// Prints {"segments": [[flat index in the volume, …] for each segment number from 1]}.
const fs = require("fs");
const path = require("path");
const [, , modules, seg, ...sources] = process.argv;
const dcmjs = require(path.join(modules, "dcmjs"));
const { DicomMessage, DicomMetaDictionary } = dcmjs.data;

dcmjs.log.level = "error";

function bytes(file) {
    const read = fs.readFileSync(file);
    return read.buffer.slice(read.byteOffset, read.byteOffset + read.length);
}

const images = {};
for (const file of sources) {
    const ds = DicomMetaDictionary.naturalizeDataset(DicomMessage.readFile(bytes(file)).dict);
    images["image:" + ds.SOPInstanceUID] = ds;
}

const provider = {
    get(type, id) {
        const ds = images[id];
        const orientation = ds.ImageOrientationPatient.map(Number);
        const modules = {
            imagePlaneModule: {
                rowCosines: orientation.slice(0, 3),
                columnCosines: orientation.slice(3),
                imageOrientationPatient: orientation,
                imagePositionPatient: ds.ImagePositionPatient.map(Number),
                rows: ds.Rows,
                columns: ds.Columns,
                frameOfReferenceUID: ds.FrameOfReferenceUID,
            },
            generalSeriesModule: { seriesInstanceUID: ds.SeriesInstanceUID, modality: ds.Modality },
            generalImageModule: { sopInstanceUID: ds.SOPInstanceUID },
            sopCommonModule: { sopInstanceUID: ds.SOPInstanceUID, sopClassUID: ds.SOPClassUID },
            instance: ds,
        };
        return modules[type];
    },
};

const state = dcmjs.adapters.Cornerstone.Segmentation.generateToolState(Object.keys(images), bytes(seg), provider);
const segments = [];
for (const buffer of state.labelmapBufferArray)
    new Uint16Array(buffer).forEach((number, index) => {
        if (number > 0)
            (segments[number - 1] ||= []).push(index);
    });
console.log(JSON.stringify({ segments }));
