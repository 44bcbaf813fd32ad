// What dicomweb-client, the library that OHIF asks with, makes of a server's answers.
//
//     node dicomweb.js NODE_MODULES URL FILE...
//
// Stores the files by STOW-RS, searches and retrieves what they hold, and prints what it got as JSON.
const fs = require("fs");
const path = require("path");
const crypto = require("crypto");
const [, , modules, url, ...files] = process.argv;
global.XMLHttpRequest = require(path.join(modules, "xhr2"));
const { DICOMwebClient } = require(path.join(modules, "dicomweb-client")).api;

const client = new DICOMwebClient({ url, retrieveRendered: true });
const text = (set, tag) => set[tag].Value[0];
const hash = (buffer) => crypto.createHash("sha256").update(Buffer.from(buffer)).digest("hex");

function bytes(file) {
    const read = fs.readFileSync(file);
    return read.buffer.slice(read.byteOffset, read.byteOffset + read.length);
}

async function main() {
    await client.storeInstances({ datasets: files.map(bytes) });
    const studies = await client.searchForStudies({ queryParams: { PatientID: "VIRTUAL-1" } });
    const studyInstanceUID = text(studies[0], "0020000D");
    const series = await client.searchForSeries({ studyInstanceUID });
    const seriesInstanceUID = text(series[0], "0020000E");
    const instances = await client.searchForInstances({ studyInstanceUID, seriesInstanceUID });
    const sopInstanceUID = text(instances[0], "00080018");
    const one = { studyInstanceUID, seriesInstanceUID, sopInstanceUID };
    const metadata = await client.retrieveSeriesMetadata({ studyInstanceUID, seriesInstanceUID });
    const frames = await client.retrieveInstanceFrames({ ...one, frameNumbers: [1] });
    const rendered = await client.retrieveInstanceRendered(one);
    const whole = await client.retrieveInstance(one);
    const all = await client.retrieveSeries({ studyInstanceUID, seriesInstanceUID });
    const link = new URL(metadata[0]["7FE00010"].BulkDataURI, url + "/"); // relative to the service, as browsers resolve it
    const bulk = await client.retrieveBulkData({ BulkDataURI: link.href });
    console.log(JSON.stringify({
        studies: studies.length,
        series: series.length,
        instances: instances.length,
        metadata: metadata.map((set) => text(set, "00080018")),
        sop: sopInstanceUID,
        frame: hash(frames[0]),
        bulk: hash(bulk[0]),
        whole: hash(whole),
        all: all.map(hash),
        picture: Buffer.from(rendered[0]).subarray(0, 3).toString("hex"),
    }));
}

main().catch((error) => {
    console.error(error.message || error, error.response ? Buffer.from(error.response).toString() : "");
    process.exit(1);
});
