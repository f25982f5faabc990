package its;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/** Gives each test a folder for files and logs of the processes that it starts. JUnit finds it as a service. */
public final class TestFolder implements BeforeEachCallback {
    private static volatile Path current = Path.of(System.getProperty("crosscurrent.work"));

    @Override
    public void beforeEach(ExtensionContext context) throws IOException {
        Path folder = Path.of(System.getProperty("crosscurrent.work"))
            .resolve(context.getRequiredTestClass().getSimpleName())
            .resolve(context.getRequiredTestMethod().getName());
        current = Files.createDirectories(folder);
    }

    static Path current() {
        return current;
    }
}
