// Makes dicom/htj2k_*.j2c: lossless HTJ2K by OpenJPH, which shares no code with our decoder.
//   npm install @cornerstonejs/codec-openjph && node make_htj2k.js dicom
const fs = require('fs')
const path = require('path')
const openjph = require(path.resolve('node_modules/@cornerstonejs/codec-openjph/dist/openjphjs.js'))

const height = 37, width = 29

openjph().then(codec => {
  for (const isSigned of [false, true]) {
    const pixels = isSigned ? new Int16Array(height * width) : new Uint16Array(height * width)
    for (let y = 0; y < height; y++)
      for (let x = 0; x < width; x++)
        pixels[y * width + x] = ((y * width + x) * 1237) % 4096 + (x > y ? 20000 : 0) - (isSigned ? 12000 : 0)
    const encoder = new codec.HTJ2KEncoder()
    const frame = { width, height, bitsPerSample: 16, componentCount: 1, isSigned, isUsingColorTransform: false }
    encoder.getDecodedBuffer(frame).set(new Uint8Array(pixels.buffer))
    encoder.setQuality(true, 0)
    encoder.encode()
    fs.writeFileSync(path.join(process.argv[2], `htj2k_${isSigned ? 'signed' : 'unsigned'}.j2c`), encoder.getEncodedBuffer())
  }
})
