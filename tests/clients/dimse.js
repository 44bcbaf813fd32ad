// C-STORE by dcmjs-dimse, an implementation of the upper layer and of DIMSE in JavaScript.
//
//     node dimse.js NODE_MODULES HOST PORT CALLED FILE...
//
// Sends each file over an association of its own and prints a line of JSON for each: the status of the response, or what
// went wrong, its path in DICOMweb, and the SHA-256 of the data set as it was sent, which dcmjs encodes anew. What dcmjs
// cannot read or write it does not send.
const path = require("path");
const crypto = require("crypto");
const [, , modules, host, port, called, ...files] = process.argv;
const dimse = require(path.join(modules, "dcmjs-dimse"));
dimse.log.level = "silent";

const hash = (buffer) => crypto.createHash("sha256").update(buffer).digest("hex");

// The data set as it goes out, in the transfer syntax that was agreed on; dcmjs repairs UIDs that are none.
let sent;
const encode = dimse.Dataset.prototype.getDenaturalizedDataset;
dimse.Dataset.prototype.getDenaturalizedDataset = function (...options) {
    const bytes = encode.apply(this, options);
    const [study, series, instance] = ["Study", "Series", "SOP"].map((of) => this.getElement(`${of}InstanceUID`));
    sent = { path: `studies/${study}/series/${series}/instances/${instance}`, sha256: hash(bytes) };
    return bytes;
};

// It throws what it cannot encode where nobody can catch it.
let giveUp;
process.on("uncaughtException", (error) => giveUp(error));

function send(file) {
    return new Promise((resolve) => {
        const said = { file };
        let request;
        try {
            request = new dimse.requests.CStoreRequest(file);
        } catch (error) {
            return resolve({ file, problem: String(error.message || error) });
        }
        const client = new dimse.Client();
        request.on("response", (response) => Object.assign(said, sent, { status: response.getStatus() }));
        client.addRequest(request);
        client.on("associationRejected", (result) => (said.problem = `rejected: ${JSON.stringify(result)}`));
        client.on("networkError", (error) => (said.problem = String(error.message || error)));
        client.on("closed", () => resolve(said));
        giveUp = (error) => resolve({ file, problem: String(error.message || error) });
        client.send(host, Number(port), "DCMJS", called, { pduTimeout: 60000, associationTimeout: 60000 });
    });
}

async function main() {
    for (const file of files) console.log(JSON.stringify(await send(file)));
    process.exit(0); // associations that it gave up in the middle of keep it alive for their timeouts
}

main();
